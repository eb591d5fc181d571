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
from jobs.parsing.document import Document, parse_json, parse_yaml
from jobs.places import Location, place_of, shown
from jobs.spec.versions import NEWEST, REMOVED

Edit = tuple[int, int, str]
"""Start, stop, and what comes in place of the characters between them."""


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


class _ByHand(Exception):
    """The text is written so that a part of it cannot be cut out alone."""


def migrate(text: str, name: str, as_json: bool = False) -> Migrated:
    """The text, which `name` names in errors, in the newest version. Raises SpecError for what is no spec and
    for what has to be changed by hand."""
    document = parse_json(text, name) if as_json else parse_yaml(text, name)
    version = document.data.get("version", NEWEST)
    if type(version) is not int or not 1 <= version <= NEWEST:
        rule = f"a version from 1 to {NEWEST}"
        raise SpecError([Problem("version", shown(version), rule, "migrate it with the farm that wrote it")])
    gone = [place for place in REMOVED if _holds(document.data, place)]
    changed = _edited(text, gone)
    try:
        read = parse_json(changed, name) if as_json else parse_yaml(changed, name)
    except SpecError:
        read = None
    if read is None or read.data != _expected(document.data, gone):
        raise SpecError([_by_hand(place, document) for place in gone or [("version",)]])
    return Migrated(text, changed, tuple(_removed(place, document) for place in gone))


def _holds(data: Any, place: Location) -> bool:
    for part in place:
        if not isinstance(data, dict) or part not in data:
            return False
        data = data[part]
    return True


def _expected(data: dict[str, Any], gone: Iterable[Location]) -> dict[str, Any]:
    """The newest version's data; a section that held nothing else goes, too."""
    data = copy.deepcopy(data)
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
    if place not in REMOVED:
        return Problem(place_of(place), shown(value), f"version {NEWEST}", f"write {NEWEST} by hand", line)
    gone = REMOVED[place]
    remedy = f"remove it by hand, and {gone.instead(value)}"
    return Problem(place_of(place), shown(value), gone.rule, remedy, line)


def _value(data: Any, place: Location) -> Any:
    for part in place:
        data = data[part]
    return data


def _edited(text: str, gone: list[Location]) -> str:
    """The text without these fields; as it is where they cannot be cut out."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        edits = [*_cuts(text, _mapping(root), gone), *_new_version(_mapping(root))]
    except _ByHand:
        return text
    for start, stop, instead in sorted(edits, reverse=True):
        text = text[:start] + instead + text[stop:]
    return text


def _mapping(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise _ByHand
    return node


def _new_version(root: yaml.MappingNode) -> Iterator[Edit]:
    for key, value in root.value:
        if key.value == "version":
            yield value.start_mark.index, value.end_mark.index, str(NEWEST)


def _cuts(text: str, root: yaml.MappingNode, gone: list[Location]) -> Iterator[Edit]:
    """The fields of each section, or all of it where nothing else is in it."""
    for section in dict.fromkeys(place[0] for place in gone):
        index = _index(root, section)
        node = _mapping(root.value[index][1])
        fields = sorted(_index(node, place[1]) for place in gone if place[0] == section)
        whole = len(fields) == len(node.value)
        yield from _cut(text, root, [index]) if whole else _cut(text, node, fields)


def _index(node: yaml.MappingNode, key: str | int) -> int:
    """Which entry of the mapping has this key. Raises _ByHand where it comes from elsewhere, as by `<<`."""
    for index, (name, _) in enumerate(node.value):
        if name.value == key:
            return index
    raise _ByHand


def _cut(text: str, node: yaml.MappingNode, fields: list[int]) -> Iterator[Edit]:
    """Takes these entries, in order, out of a mapping that keeps others."""
    if not node.flow_style:
        yield from (_lines_of(text, *node.value[field]) for field in fields)
        return
    while fields:
        first = last = fields.pop(0)
        while fields[:1] == [last + 1]:
            last = fields.pop(0)
        yield _flow_cut(text, node, first, last)


def _lines_of(text: str, key: yaml.Node, value: yaml.Node) -> Edit:
    """The lines of a block mapping's entry, to the end of what it says."""
    start = key.start_mark.index - key.start_mark.column
    lines = text[start : max(value.end_mark.index, key.end_mark.index)].splitlines(keepends=True)
    while len(lines) > 1 and lines[-1].strip()[:1] in ("", "#"):
        lines.pop()  # A mapping ends where the next entry begins, behind the comments that are that one's.
    stop = start + sum(map(len, lines))
    if not text[:stop].endswith("\n"):
        stop = text.find("\n", stop) + 1 or len(text)
    return start, stop, ""


def _flow_cut(text: str, node: yaml.MappingNode, first: int, last: int) -> Edit:
    """These entries with the comma behind them, or with the one before where none follows."""
    entries = node.value
    starts = [key.start_mark.index for key, _ in entries]
    stops = [value.end_mark.index for _, value in entries]
    if last + 1 < len(entries):
        start, stop, gaps = starts[first], starts[last + 1], range(first, last + 1)
    else:
        start, stop, gaps = stops[first - 1], stops[last], range(first - 1, last)
    if any("#" in text[stops[gap] : starts[gap + 1]] for gap in gaps):
        raise _ByHand  # A comment between two entries may be that of either.
    return start, stop, ""
