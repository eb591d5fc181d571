"""The text of a spec of an earlier version as one of the newest.

Only what has to change is cut out of the text or replaced in it: comments, order, quotes and line ends stay.
What comes out is read again and has to be the same spec but for that, or the text is left to its writer.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from jobs.errors import Problem, SpecError
from jobs.loading.edits import ByHand, Edit, cut, index_of, mapping_node
from jobs.loading.migrate_sound import sound_edits
from jobs.parsing.document import Document, parse_json, parse_yaml
from jobs.places import Location, place_of, shown
from jobs.spec.versions import NEWEST, REMOVED, removed_at, sound_fields


@dataclass(frozen=True, slots=True)
class RemovedField:
    """A field that was taken out: what it said, on which line (from 1), and what says it instead."""

    place: str
    value: str
    line: int | None
    instead: str


@dataclass(frozen=True, slots=True)
class Migrated:
    """A spec's text as it was and as it is in the newest version, and what was taken out of it."""

    before: str
    text: str
    removed: tuple[RemovedField, ...]


def migrate(text: str, name: str, as_json: bool = False) -> Migrated:
    """The text, which `name` names in errors, in the newest version. Raises SpecError for what is no spec and
    for what has to be changed by hand."""
    document = parse_json(text, name) if as_json else parse_yaml(text, name)
    version = document.data.get("version", NEWEST)
    if type(version) is not int or not 1 <= version <= NEWEST:
        rule = f"a version from 1 to {NEWEST}"
        raise SpecError([Problem("version", shown(version), rule, "migrate it with the farm that wrote it")])
    gone = [place for place in REMOVED if _holds(document.data, place)]
    sounds = list(_with_audio(document.data))
    changed = _edited(text, gone, sounds)
    try:
        read = parse_json(changed, name) if as_json else parse_yaml(changed, name)
    except SpecError:
        read = None
    if read is None or read.data != _expected(document.data, gone, sounds):
        raise SpecError([_by_hand(place, document) for place in [*gone, *sounds] or [("version",)]])
    return Migrated(text, changed, tuple(_removed(place, document) for place in gone))


def _holds(data: Any, place: Location) -> bool:
    for part in place:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _with_audio(data: dict[str, Any]) -> Iterator[Location]:
    """Videos that say `audio`."""
    videos = data.get("videos")
    for index, video in enumerate(videos if isinstance(videos, list) else ()):
        if isinstance(video, dict) and "audio" in video:
            yield "videos", index, "audio"


def _expected(data: dict[str, Any], gone: Iterable[Location], sounds: Iterable[Location]) -> dict[str, Any]:
    """The newest version's data; a section that held nothing else goes, too."""
    data = copy.deepcopy(data)
    for _, index, _ in sounds:
        video = data["videos"][index]
        video |= sound_fields(video.pop("audio")) or {}
    for section, field in (map(str, place) for place in gone):
        del data[section][field]
        if not data[section]:
            del data[section]
    if "version" in data:
        data["version"] = NEWEST
    return data


def _removed(place: Location, document: Document) -> RemovedField:
    value = _value(document.data, place)
    return RemovedField(
        place_of(place), shown(value), document.lines.get(place), REMOVED[place].instead(value)
    )


def _by_hand(place: Location, document: Document) -> Problem:
    value = _value(document.data, place)
    line = document.lines.get(place)
    gone = removed_at(place)
    if gone is None:
        return Problem(place_of(place), shown(value), f"version {NEWEST}", f"write {NEWEST} by hand", line)
    instead = gone.instead(value)
    remedy = f"{instead} by hand" if gone.rewritten else f"remove it by hand, and {instead}"
    return Problem(place_of(place), shown(value), gone.rule, remedy, line)


def _value(data: Any, place: Location) -> Any:
    for part in place:
        data = data[part]
    return data


def _edited(text: str, gone: list[Location], sounds: list[Location]) -> str:
    """The text without the fields that are `gone`, and with `sounds` rewritten; as it is where that cannot be
    done."""
    composed = yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        root = mapping_node(composed)
        edits = [*_cuts(text, root, gone), *sound_edits(text, root, sounds), *_new_version(root)]
    except ByHand:
        return text
    for start, stop, instead in sorted(edits, reverse=True):
        text = text[:start] + instead + text[stop:]
    return text


def _new_version(root: yaml.MappingNode) -> Iterator[Edit]:
    for key, value in root.value:
        if key.value == "version":
            yield value.start_mark.index, value.end_mark.index, str(NEWEST)


def _cuts(text: str, root: yaml.MappingNode, gone: list[Location]) -> Iterator[Edit]:
    """The fields of each section, or all of it where nothing else is in it."""
    for section in dict.fromkeys(place[0] for place in gone):
        index = index_of(root, section)
        node = mapping_node(root.value[index][1])
        fields = sorted(index_of(node, place[1]) for place in gone if place[0] == section)
        whole = len(fields) == len(node.value)
        yield from cut(text, root, [index]) if whole else cut(text, node, fields)
