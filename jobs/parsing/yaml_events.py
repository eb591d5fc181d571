"""YAML text as events. Values are those of YAML 1.2's core schema: `yes`, `off`, `12:30` and dates are text.

libyaml scans the text as a stream; its only costs that grow faster than the text, `%TAG` directives and deep
nesting, are stopped before they do.
"""

from __future__ import annotations

import re
from typing import Any, NoReturn

import yaml

from jobs.errors import Problem, SpecError
from jobs.parsing.parse_events import MAX_NUMBER, BadValue, EventKind, Events, ParseEvent, long_number
from jobs.places import shown

_Parser: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_BREAKS = re.compile("[\x85\u2028\u2029]")
_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "null": (type(None),),
}
SYNTAX = "YAML"
_SCALAR_RULE = "text, a number, true, false or null"


class _Dumper(yaml.SafeDumper):
    """Puts text in quotes that YAML 1.2 takes for a number, besides what 1.1 does, and text with line breaks
    that YAML would fold, in double ones."""


def _represented(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = '"' if _BREAKS.search(text) else None
    return dumper.represent_scalar(_CORE + "str", text, style)


_Dumper.add_representer(str, _represented)
_NUMBER = re.compile(f"^(?:{_INT.pattern}|{_FLOAT.pattern})$")
_Dumper.add_implicit_resolver(_CORE + "float", _NUMBER, list("+-.0123456789"))


def yaml_events(text: str, name: str) -> list[ParseEvent]:
    """The events of one YAML document; none where it is empty. Raises SpecError."""
    directive = re.search(r"^%TAG\b", text, re.MULTILINE)
    if directive:
        line = text.count("\n", 0, directive.start()) + 1
        _refuse(f"{name}:{line}:1", "a %TAG directive", "a spec has no tags", "remove the line")
    reader = _Reader(name)
    try:
        for event in yaml.parse(text, Loader=_Parser):
            reader.take(event)
    except yaml.YAMLError as error:
        raise SpecError([_syntax_problem(error, name, text)]) from None
    return reader.events.found


def yaml_text(data: Any) -> str:
    """Plain data as YAML that `yaml_events` reads as the same data."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Reader:
    """Turns the parser's events into ours, aliases resolved to what they stand for."""

    def __init__(self, name: str) -> None:
        self.name, self.events = name, Events(name)
        self._anchors: dict[str, int] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            self.events.add(ParseEvent(EventKind.ALIAS, line, self._target(event)))
        elif isinstance(event, yaml.ScalarEvent):
            self._anchor(event)
            self.events.add(_scalar(event, line))
        elif isinstance(event, yaml.CollectionStartEvent):
            self._anchor(event)
            kind = EventKind.MAP if isinstance(event, yaml.MappingStartEvent) else EventKind.LIST
            self.events.add(
                ParseEvent(kind, line, _tag_fault(event.tag, "plain lists and mappings", "map", "seq"))
            )
        elif isinstance(event, yaml.CollectionEndEvent):
            self.events.end(line)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                rule, remedy = "one document", "remove the `---` and what follows"
                _refuse(_place(self.name, event.start_mark), "a second document", rule, remedy)

    def _anchor(self, event: yaml.NodeEvent) -> None:
        if event.anchor is not None:
            self._anchors[event.anchor] = len(self.events.found)

    def _target(self, event: yaml.AliasEvent) -> int:
        anchor = event.anchor or ""
        if anchor not in self._anchors:
            place, value = _place(self.name, event.start_mark), f"the alias {shown('*' + anchor)}"
            _refuse(place, value, "an alias of an anchor before it", "mark what it stands for with `&`")
        return self._anchors[anchor]


def _scalar(event: yaml.ScalarEvent, line: int) -> ParseEvent:
    if event.tag is None and event.implicit[0]:
        if event.value == "<<":
            return ParseEvent(EventKind.MERGE, line, "<<")
        value = _resolved(event.value)
    else:
        value = _tagged(event)
    return ParseEvent(EventKind.SCALAR, line, value, None if isinstance(value, str) else event.value)


def _tagged(event: yaml.ScalarEvent) -> Any:
    """A value in quotes, or with a tag of its own."""
    kind = (event.tag or "").removeprefix(_CORE)
    if kind in ("", "!", "str"):
        return event.value
    fault = _tag_fault(event.tag, _SCALAR_RULE, *_TYPES)
    if fault is not None:
        return fault
    value = _resolved(event.value)
    if isinstance(value, BadValue) or type(value) in _TYPES[kind]:
        return float(value) if kind == "float" and isinstance(value, int) else value
    return BadValue(shown(event.value), _SCALAR_RULE, "remove the tag, or put the value in quotes")


def _tag_fault(tag: str | None, rule: str, *known: str) -> BadValue | None:
    if tag in (None, "!", *(_CORE + kind for kind in known)):
        return None
    return BadValue(f"the tag {shown(tag)}", rule, "remove the tag")


def _resolved(text: str) -> Any:
    """What text without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789" or not (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
        return text
    if len(text) > MAX_NUMBER:
        return long_number(text)
    if _INT.fullmatch(text):
        return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
    return float(re.sub(r"\.(?=inf|nan)", "", text.lower()))


def _place(name: str, mark: Any) -> str:
    return f"{name}:{mark.line + 1}:{mark.column + 1}"


def _refuse(place: str, value: str, rule: str, remedy: str) -> NoReturn:
    raise SpecError([Problem(place, value, rule, remedy)])


def _syntax_problem(error: yaml.YAMLError, name: str, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None)
    place = _place(name, mark) if mark else name
    if mark and "\t" in _before(text, mark):
        return Problem(place, "a tab", "YAML is indented with spaces", "put spaces in place of the tab")
    value = getattr(error, "problem", None) or getattr(error, "reason", None) or "not YAML"
    remedy = "mend the syntax at or just before this place"
    if str(value).startswith("mapping values are not allowed"):
        remedy = "indent this line as its neighbours are, or put text that holds `: ` in quotes"
    return Problem(place, str(value), SYNTAX, remedy)


def _before(text: str, mark: yaml.Mark) -> str:
    """The line of a mark up to the character that it points at."""
    line = text.split("\n", mark.line + 1)[mark.line : mark.line + 1]
    return line[0][: mark.column + 1] if line else ""
