"""Specs as plain data, with line numbers: the one reader of every way in.

Text (YAML or JSON) and mappings from Python are bounded in size, depth and number of values before anything
is built, so aliases cannot multiply, nothing recurses, and no value takes longer to read than to write.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import Problem, SpecError
from jobs.parsing.json_events import json_events
from jobs.parsing.parse_events import (
    MAX_DEPTH,
    MAX_KEY,
    MAX_NODES,
    MAX_NUMBER,
    BadValue,
    EventKind,
    ParseEvent,
    too_deep,
    too_many,
)
from jobs.parsing.text import MAX_FULL_BYTES, MAX_TEXT_BYTES, check_text, has_half, read_text
from jobs.parsing.yaml_events import yaml_events
from jobs.places import Location, place_of, shown

MAX_BITS = 4 * MAX_NUMBER
HALF = BadValue(
    "half of a character", "Unicode text", "write the whole character, without \\ud800 to \\udfff"
)


@dataclass(frozen=True)
class Document:
    """Plain data, the line (from 1) on which each place starts, None for what stands on none, and what was
    read as something else than text as it is `written`."""

    data: dict[str, Any]
    lines: Mapping[Location, int | None] = field(default_factory=dict)
    written: Mapping[Location, str] = field(default_factory=dict)


def read_document(path: Path) -> Document:
    """The spec at `path`: JSON where the suffix says so, else YAML. Raises SpecError."""
    text = read_text(path)
    return parse_json(text, path.name) if path.suffix.lower() == ".json" else parse_yaml(text, path.name)


def parse_yaml(text: str, name: str = "spec", most_bytes: int = MAX_TEXT_BYTES) -> Document:
    """One YAML mapping. Raises SpecError for anything else, duplicate keys included."""
    check_text(text, name, most_bytes)
    return _built(yaml_events(text, name), name)


def parse_json(text: str, name: str = "spec") -> Document:
    """One JSON object. Raises SpecError for anything else, duplicate keys included."""
    check_text(text, name)
    return _built(json_events(text, name), name)


def from_mapping(data: Mapping[Any, Any], name: str = "the spec") -> Document:
    """A copy of a mapping made in Python, within the bounds of text. Raises SpecError."""
    return Document(_Copy(name).mapping(data, (), 0))


def _built(events: list[ParseEvent], name: str) -> Document:
    builder = _Builder(events, name)
    data = builder.build(0, (), 0)[0] if events else None
    if not isinstance(data, dict):
        value = "empty" if data is None else shown(data)
        rule = "a job spec: a mapping with `name` and `videos`"
        raise SpecError([Problem(name, value, rule, "see `farm init`")])
    return Document(data, builder.lines, builder.written)


class _Builder:
    """Builds plain data from events, aliases expanded within bounds. Methods give what they built and the
    index of the event behind it."""

    def __init__(self, events: list[ParseEvent], name: str) -> None:
        self.events, self.name = events, name
        self.lines: dict[Location, int] = {}
        self.written: dict[Location, str] = {}
        self.nodes = 0

    def build(self, index: int, at: Location, depth: int) -> tuple[Any, int]:
        event = self.events[index]
        if event.kind is EventKind.ALIAS:
            return self.build(event.value, at, depth)[0], index + 1
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise SpecError([too_deep(self.name, event.line)])
        if self.nodes > MAX_NODES:
            raise SpecError([too_many(place_of(at) or self.name, event.line)])
        self.lines[at] = event.line
        if isinstance(event.value, BadValue):
            self._refuse(at, event, event.value)
        if event.kind is EventKind.MAP:
            return self._map(index, at, depth)
        if event.kind is EventKind.LIST:
            return self._list(index, at, depth)
        if event.written is not None:
            self.written[at] = event.written
        elif has_half(event.value):
            self._refuse(at, event, HALF)
        return event.value, index + 1

    def _list(self, index: int, at: Location, depth: int) -> tuple[list[Any], int]:
        built: list[Any] = []
        index += 1
        while self.events[index].kind is not EventKind.END:
            value, index = self.build(index, (*at, len(built)), depth + 1)
            built.append(value)
        return built, index + 1

    def _map(self, index: int, at: Location, depth: int) -> tuple[dict[str, Any], int]:
        built: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        index += 1
        while self.events[index].kind is not EventKind.END:
            event = self._resolved(index)
            if event.kind is EventKind.MERGE:
                merged, index = self._merged(index + 1, at, depth)
                inherited |= merged
                continue
            key = self._key(event, at)
            if key in built:
                twice = BadValue("this key stands twice", "unique keys", "remove one of the two")
                self._refuse((*at, key), event, twice)
            self.nodes += 1
            built[key], index = self.build(index + 1, (*at, key), depth + 1)
        return {**inherited, **built}, index + 1

    def _resolved(self, index: int) -> ParseEvent:
        event = self.events[index]
        return self.events[event.value] if event.kind is EventKind.ALIAS else event

    def _key(self, event: ParseEvent, at: Location) -> str:
        """A key is text. Raises SpecError; a mapping or list as a key ends the reading, too."""
        key = event.value
        if event.kind in (EventKind.MAP, EventKind.LIST) or isinstance(key, BadValue):
            what = key.value if isinstance(key, BadValue) else f"a {event.kind.name.lower()} as a key"
            self._refuse(at, event, BadValue(what, "keys are words", "write a word, or remove it"))
        if not isinstance(key, str):
            meant = f"write {shown(event.written)}, in quotes, or remove it"
            self._refuse(at, event, BadValue(shown(key), "keys are words", meant))
        if len(key) > MAX_KEY:
            rule = f"at most {MAX_KEY} characters in a key"
            self._refuse((*at, key), event, BadValue(f"a key of {len(key)} characters", rule, "shorten it"))
        if has_half(key):
            self._refuse(at, event, HALF)
        return key

    def _merged(self, index: int, at: Location, depth: int) -> tuple[dict[str, Any], int]:
        """What `<<: *alias` brings; of several mappings the first one counts."""
        event = self.events[index]
        value, index = self.build(index, (*at, "<<"), depth + 1)
        merged: dict[str, Any] = {}
        for mapping in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(mapping, dict):
                fault = BadValue(f"`<<` with {shown(mapping)}", "`<<` takes mappings", "remove the `<<`")
                self._refuse(at, event, fault)
            merged |= mapping
        return merged, index

    def _refuse(self, at: Location, event: ParseEvent, fault: BadValue) -> NoReturn:
        raise SpecError([Problem(place_of(at) or self.name, *fault, event.line)])


class _Copy:
    """Copies what a caller built, dictionaries and lists anew. What is no plain data is left to the models,
    which refuse it."""

    def __init__(self, name: str) -> None:
        self.name, self.nodes, self.characters = name, 0, 0

    def value(self, value: Any, at: Location, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise SpecError([too_deep(self.name)])
        if self.nodes > MAX_NODES:
            raise SpecError([too_many(place_of(at) or self.name)])
        if isinstance(value, Mapping):
            return self.mapping(value, at, depth)
        if isinstance(value, list | tuple):
            return [self.value(item, (*at, index), depth + 1) for index, item in enumerate(value)]
        if isinstance(value, str):
            return self._string(value, at)
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            rule = f"at most {MAX_NUMBER} digits in a number"
            self._refuse(at, BadValue(shown(value), rule, "write a smaller number"))
        return value

    def mapping(self, value: Mapping[Any, Any], at: Location, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str) or len(key) > MAX_KEY:
                what = shown(key) if not isinstance(key, str) else f"a key of {len(key)} characters"
                rule = f"keys are words of at most {MAX_KEY} characters"
                place = (*at, key) if isinstance(key, str) else at
                self._refuse(place, BadValue(what, rule, "write a word, or remove it"))
            self.nodes += 1
            built[self._string(key, at)] = self.value(item, (*at, key), depth + 1)
        return built

    def _string(self, value: str, at: Location) -> str:
        self.characters += len(value)
        if self.characters > MAX_FULL_BYTES:
            rule = f"at most {MAX_FULL_BYTES / 1e6:g} MB of text"
            self._refuse(at, BadValue("larger than a spec", rule, "split the job"))
        if has_half(value):
            self._refuse(at, HALF)
        return str(value)

    def _refuse(self, at: Location, fault: BadValue) -> NoReturn:
        raise SpecError([Problem(place_of(at) or self.name, *fault)])
