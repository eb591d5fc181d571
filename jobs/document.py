"""Spec text to plain data: YAML or JSON, with line numbers, without anything a hostile file could trigger.

Depth and size are bounded before a node is built, so aliases cannot multiply and nothing can recurse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import yaml

from jobs.errors import Problem, SpecError
from jobs.places import Location, place_of, shown

MAX_TEXT_BYTES = 16 << 20
MAX_DEPTH = 48
MAX_NODES = 300_000
CONTAINER_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
MERGE_TAG = "tag:yaml.org,2002:merge"
BOOL_TAG = "tag:yaml.org,2002:bool"
TIMESTAMP_TAG = "tag:yaml.org,2002:timestamp"

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):
    """The safe loader as YAML 1.2 has it: only true and false are no text, `off` and dates are; `1e-3` is a
    number."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (BOOL_TAG, TIMESTAMP_TAG)]
        for first, resolvers in _Base.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(BOOL_TAG, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(frozen=True)
class Document:
    """Plain data, the line (from 1) on which each place starts, and what was read as something else than text
    as it is `written`."""

    data: dict[str, Any]
    lines: Mapping[Location, int] = field(default_factory=dict)
    written: Mapping[Location, str] = field(default_factory=dict)


def read_document(path: Path) -> Document:
    """The spec at `path`: JSON where the suffix says so, else YAML. Raises SpecError."""
    text = _read_text(path)
    return parse_json(text, path.name) if path.suffix.lower() == ".json" else parse_yaml(text, path.name)


def parse_yaml(text: str, name: str = "spec") -> Document:
    """One YAML mapping. Raises SpecError for anything else, duplicate keys included."""
    try:
        _bound_depth(text, name)
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            builder = _Builder(loader, name)
            data = builder.build(root, (), 0) if root is not None else None
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, name, text)]) from None
    return Document(_mapping(data, name), builder.lines, builder.written)


def parse_json(text: str, name: str = "spec") -> Document:
    """One JSON object. Raises SpecError for anything else, duplicate keys included."""
    try:
        data = json.loads(text, object_pairs_hook=_unique_pairs)
    except RecursionError:
        raise SpecError([_too_deep(name)]) from None
    except json.JSONDecodeError as error:
        place = f"{name}:{error.lineno}:{error.colno}"
        raise SpecError([Problem(place, error.msg, "JSON", "mend the syntax at this place")]) from None
    except ValueError as error:
        problem = Problem(name, str(error)[:200], "JSON with unique keys", "mend it")
        raise SpecError([problem]) from None
    return Document(_mapping(data, name))


def _read_text(path: Path) -> str:
    rule = "a readable UTF-8 text file"
    try:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise SpecError([Problem(str(path), what, rule, "give the path of a job spec")])
        with path.open("rb") as file:
            raw = file.read(MAX_TEXT_BYTES + 1)
        if len(raw) > MAX_TEXT_BYTES:
            limit = f"at most {MAX_TEXT_BYTES >> 20} MiB"
            raise SpecError([Problem(str(path), "larger than a spec", limit, "use `repeat` or `matrix`")])
        return raw.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)[:200]
        raise SpecError([Problem(str(path), reason, rule, "give the path of a job spec")]) from None


def _bound_depth(text: str, name: str) -> None:
    """Stops at the first event that is too deep, before anything is built."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise SpecError([_too_deep(name)])


def _too_deep(name: str) -> Problem:
    return Problem(name, "nested too deeply", f"at most {MAX_DEPTH} levels", "flatten the document")


class _Builder:
    """Builds plain data from YAML nodes, aliases expanded within bounds."""

    def __init__(self, loader: Any, name: str) -> None:
        self.loader, self.name = loader, name
        self.lines: dict[Location, int] = {}
        self.written: dict[Location, str] = {}
        self.nodes = 0

    def build(self, node: yaml.Node, at: Location, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise SpecError([_too_deep(self.name)])
        if self.nodes > MAX_NODES:
            limit = f"at most {MAX_NODES} values once aliases are expanded"
            self._refuse(at, node, "too many values", limit, "use `repeat` or `matrix`")
        self.lines[at] = node.start_mark.line + 1
        if isinstance(node, yaml.ScalarNode):
            return self._value(node, at)
        if node.tag not in CONTAINER_TAGS:
            self._refuse(at, node, f"the tag {node.tag!r}", "plain lists and mappings", "remove the tag")
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*at, index), depth + 1) for index, item in enumerate(node.value)]
        assert isinstance(node, yaml.MappingNode)
        return self._map(node, at, depth)

    def _value(self, node: yaml.ScalarNode, at: Location) -> Any:
        value = self._scalar(node, at)
        if not isinstance(value, str):
            self.written[at] = node.value
        return value

    def _map(self, node: yaml.MappingNode, at: Location, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        inherited: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = self._key(key_node, at)
            if key_node.tag == MERGE_TAG:
                inherited |= self._merged(value_node, at, depth)
                continue
            if key in built:
                self._refuse(
                    (*at, key), key_node, "this key stands twice", "unique keys", "remove one of the two"
                )
            built[key] = self.build(value_node, (*at, key), depth + 1)
        return {**inherited, **built}

    def _key(self, node: yaml.Node, at: Location) -> str:
        if node.tag == MERGE_TAG:
            return "<<"
        key = self._scalar(node, at) if isinstance(node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            meant = f"write {shown(node.value)}, in quotes" if isinstance(node.value, str) else "write a word"
            self._refuse(at, node, shown(key), "keys are words", f"{meant}, or remove it")
        return key

    def _merged(self, node: yaml.Node, at: Location, depth: int) -> dict[str, Any]:
        """What `<<: *alias` brings; of several mappings the first one counts."""
        value = self.build(node, (*at, "<<"), depth + 1)
        merged: dict[str, Any] = {}
        for mapping in reversed(value if isinstance(value, list) else [value]):
            if not isinstance(mapping, dict):
                self._refuse(
                    at, node, f"`<<` with {shown(mapping)}", "`<<` takes mappings", "remove the `<<`"
                )
            merged |= mapping
        return merged

    def _scalar(self, node: yaml.ScalarNode, at: Location) -> Any:
        try:
            value = self.loader.construct_object(node)
        except (yaml.YAMLError, ValueError, KeyError, AttributeError, OverflowError):
            self._refuse(
                at, node, shown(node.value), "text, a number, true, false or null", "put it in quotes"
            )
        if isinstance(value, bytes | bytearray):
            self._refuse(at, node, "binary data", "text", "give the path of a file")
        return value

    def _refuse(self, at: Location, node: yaml.Node, value: str, rule: str, remedy: str) -> NoReturn:
        place = place_of(at) or self.name
        raise SpecError([Problem(place, value, rule, remedy, node.start_mark.line + 1)])


def _syntax_problem(error: yaml.YAMLError, name: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    if mark and "\t" in _before(text, mark):
        return Problem(place, "a tab", "YAML is indented with spaces", "put spaces in place of the tab")
    value = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    return Problem(place, str(value), "YAML", "mend the syntax at or just before this place")


def _before(text: str, mark: yaml.Mark) -> str:
    """The line of a mark up to the character that it points at."""
    line = text.split("\n", mark.line + 1)[mark.line : mark.line + 1]
    return line[0][: mark.column + 1] if line else ""


def _mapping(data: Any, name: str) -> dict[str, Any]:
    if isinstance(data, dict):
        return data
    value = "empty" if data is None else shown(data)
    raise SpecError(
        [Problem(name, value, "a job spec: a mapping with `name` and `videos`", "see `farm init`")]
    )


def _unique_pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key, value in pairs:
        if key in built:
            raise ValueError(f"the key {key[:80]!r} stands twice")
        built[key] = value
    return built
