"""JSON text as events, with the line of each value, which the standard library's parser does not tell."""

from __future__ import annotations

import json
import re
from typing import NoReturn

from jobs.errors import Problem, SpecError
from jobs.parsing.parse_events import MAX_NUMBER, EventKind, Events, ParseEvent, long_number

_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"true|false|null|NaN|-?Infinity")
_WORDS = {
    "true": True,
    "false": False,
    "null": None,
    "NaN": float("nan"),
    "Infinity": float("inf"),
    "-Infinity": float("-inf"),
}


def json_events(text: str, name: str) -> list[ParseEvent]:
    """The events of one JSON value. Raises SpecError."""
    reader = _Reader(text, name)
    end = reader.space(reader.value(reader.space(0)))
    if end < len(text):
        reader.refuse(end, "text after the end", "remove it")
    return reader.events.found


class _Reader:
    """Recursive descent, as deep as `Events` allows. Methods take a position and give the one behind what
    they read."""

    def __init__(self, text: str, name: str) -> None:
        self.text, self.name, self.events = text, name, Events(name)
        self._line, self._counted = 1, 0

    def space(self, at: int) -> int:
        return _SPACE.match(self.text, at).end()  # type: ignore[union-attr]

    def value(self, at: int) -> int:
        start = self.text[at : at + 1]
        if start == "{":
            return self._items(at, EventKind.MAP, "}")
        if start == "[":
            return self._items(at, EventKind.LIST, "]")
        if start == '"':
            return self._string(at)
        word = _WORD.match(self.text, at)
        if word:
            self.events.add(ParseEvent(EventKind.SCALAR, self._line_at(at), _WORDS[word[0]], word[0]))
            return word.end()
        number = _NUMBER.match(self.text, at)
        if not number:
            self.refuse(at, "no value", "write text in double quotes, a number, true, false or null")
        self.events.add(ParseEvent(EventKind.SCALAR, self._line_at(at), _number(number), number[0]))
        return number.end()

    def _items(self, at: int, kind: EventKind, close: str) -> int:
        self.events.add(ParseEvent(kind, self._line_at(at)))
        at = self.space(at + 1)
        while self.text[at : at + 1] != close:
            if kind is EventKind.MAP:
                at = self._key(at)
            at = self.space(self.value(at))
            follows = self.text[at : at + 1]
            if follows == ",":
                at = self.space(at + 1)
                if self.text[at : at + 1] == close:
                    self.refuse(at, f"a comma before `{close}`", "remove the comma")
            elif follows != close:
                self.refuse(at, "no comma", f"write `,` between values, or `{close}` at the end")
        self.events.end(self._line_at(at))
        return at + 1

    def _key(self, at: int) -> int:
        if self.text[at : at + 1] != '"':
            self.refuse(at, "no key", "write the key in double quotes")
        at = self.space(self._string(at))
        if self.text[at : at + 1] != ":":
            self.refuse(at, "no colon", "write `:` between key and value")
        return self.space(at + 1)

    def _string(self, at: int) -> int:
        try:
            value, end = _DECODER.raw_decode(self.text, at)
        except json.JSONDecodeError as error:
            self.refuse(error.pos, error.msg, "mend the text in quotes")
        self.events.add(ParseEvent(EventKind.SCALAR, self._line_at(at), value))
        return int(end)

    def _line_at(self, at: int) -> int:
        self._line += self.text.count("\n", self._counted, at)
        self._counted = max(self._counted, at)
        return self._line

    def refuse(self, at: int, value: str, remedy: str) -> NoReturn:
        line, column = self.text.count("\n", 0, at) + 1, at - self.text.rfind("\n", 0, at)
        raise SpecError([Problem(f"{self.name}:{line}:{column}", value, "JSON", remedy)])


def _number(found: re.Match[str]) -> object:
    if len(found[0]) > MAX_NUMBER:
        return long_number(found[0])
    return float(found[0]) if found[1] or found[2] else int(found[0])
