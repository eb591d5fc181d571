"""Changes of a text of YAML or JSON that leave all around them as it is."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

Edit = tuple[int, int, str]
"""Start, stop, and what comes in place of the characters between them."""


class ByHand(Exception):
    """The text is written so that a part of it cannot be changed alone."""


def mapping_node(node: yaml.Node | None) -> yaml.MappingNode:
    if not isinstance(node, yaml.MappingNode):
        raise ByHand
    return node


def index_of(node: yaml.MappingNode, key: str | int) -> int:
    """Which entry of the mapping has this key. Raises ByHand where it comes from elsewhere, as by `<<`."""
    for index, (name, _) in enumerate(node.value):
        if name.value == key:
            return index
    raise ByHand


def cut(text: str, node: yaml.MappingNode, fields: list[int]) -> Iterator[Edit]:
    """Takes these entries, in order, out of a mapping that keeps others."""
    if not node.flow_style:
        yield from (lines_of(text, *node.value[field]) for field in fields)
        return
    while fields:
        first = last = fields.pop(0)
        while fields[:1] == [last + 1]:
            last = fields.pop(0)
        yield _flow_cut(text, node, first, last)


def lines_of(text: str, key: yaml.Node, value: yaml.Node) -> Edit:
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
        raise ByHand  # A comment between two entries may be that of either.
    return start, stop, ""
