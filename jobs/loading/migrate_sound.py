"""`audio` of a video rewritten as `sound`, a list of tracks, and `mix`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import yaml

from jobs.loading.edits import ByHand, Edit, cut, index_of, mapping_node
from jobs.spec.versions import AUDIO_FIELDS

if TYPE_CHECKING:
    from jobs.places import Location


def sound_edits(text: str, root: yaml.MappingNode, places: list[Location]) -> Iterator[Edit]:
    """Edits for the `audio` at each of `places`, (`videos`, index, `audio`). Raises ByHand."""
    if not places:
        return
    videos = root.value[index_of(root, "videos")][1]
    if not isinstance(videos, yaml.SequenceNode):
        raise ByHand
    for _, index, _ in places:
        video = mapping_node(videos.value[int(index)])
        key, value = video.value[index_of(video, "audio")]
        yield (*_extent(key), _spelled("sound", key))
        if isinstance(value, yaml.MappingNode):
            yield from _track(text, video, key, value)
        else:
            made = f"[{{{_spelled('generate', key)}: true}}]" if value.value == "generate" else "[]"
            yield (*_extent(value), made)


def _track(text: str, video: yaml.MappingNode, key: yaml.Node, value: yaml.MappingNode) -> Iterator[Edit]:
    entries = value.value
    rates = [index for index, (name, _) in enumerate(entries) if name.value == "sample_rate"]
    yield from _in_brackets(text, key, value, next(i for i in range(len(entries)) if i not in rates))
    for name, said in entries:
        if name.value == "mode" and said.value == "generate":
            yield name.start_mark.index, said.end_mark.index, f"{_spelled('generate', name)}: true"
        elif name.value in AUDIO_FIELDS:
            yield (*_extent(name), _spelled(AUDIO_FIELDS[name.value], name))
        elif name.value == "sample_rate":
            rate = text[said.start_mark.index : said.end_mark.index]
            mix = f"{_spelled('mix', key)}: {{{_spelled('sample_rate', key)}: {rate}}}"
            line_end = "\r\n" if "\r\n" in text else "\n"
            behind = ", " if video.flow_style else line_end + " " * key.start_mark.column
            yield key.start_mark.index, key.start_mark.index, mix + behind
    yield from cut(text, value, rates)


def _in_brackets(text: str, key: yaml.Node, value: yaml.MappingNode, first: int) -> Iterator[Edit]:
    """The mapping, whose entry `first` stays, as a list of one item."""
    if value.flow_style:
        start, stop = _extent(value)
        yield start, start, "["
        yield stop, stop, "]"
        return
    start = value.value[first][0].start_mark
    dash = start.index - 2
    if start.column < key.start_mark.column + 2 or text[dash : start.index] != "  ":
        raise ByHand
    yield dash, start.index, "- "


def _extent(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index


def _spelled(name: str, like: yaml.Node) -> str:
    """The name in the quotes that the node `like` has."""
    quote = like.style if isinstance(like, yaml.ScalarNode) and like.style in ("'", '"') else ""
    return f"{quote}{name}{quote}"
