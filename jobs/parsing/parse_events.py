"""What spec text is parsed into first: a flat list of events, bounded in length, depth and the size of what
stands in it, before anything is built."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

from jobs.errors import Problem, SpecError

MAX_DEPTH = 48
MAX_NODES = 120_000
"""Keys and values. 10,000 videos of one chunk each, written out, have 100,000."""
MAX_NUMBER = 100
"""Characters of a number: a double has 17 digits that count, the largest seed 19."""
MAX_KEY = 200


class EventKind(IntEnum):
    """What an event says."""

    MAP = 0
    LIST = 1
    END = 2
    SCALAR = 3
    MERGE = 4
    ALIAS = 5


class BadValue(NamedTuple):
    """A value that cannot be one: what stands there, what may, and what to write instead."""

    value: str
    rule: str
    remedy: str


class ParseEvent(NamedTuple):
    """The start or end of a mapping or list, or a value, which starts on `line` (from 1).

    `value` is plain data or a BadValue, for an alias the index of the event that it stands for; `written` how
    the file spells what is no text.
    """

    kind: EventKind
    line: int
    value: Any = None
    written: str | None = None


class Events:
    """Collects events, and raises SpecError at the first one too many or too deep."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.found: list[ParseEvent] = []
        self._depth = self._count = 0

    def add(self, event: ParseEvent) -> None:
        """A value, an alias, or the beginning of a mapping or list."""
        self._count += 1
        if self._count > MAX_NODES:
            raise SpecError([too_many(self.name, event.line)])
        if event.kind in (EventKind.MAP, EventKind.LIST):
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise SpecError([too_deep(self.name, event.line)])
        self.found.append(event)

    def end(self, line: int) -> None:
        """The innermost mapping or list ends."""
        self._depth -= 1
        self.found.append(ParseEvent(EventKind.END, line))


def too_deep(name: str, line: int | None = None) -> Problem:
    """For a document that is nested beyond any spec."""
    return Problem(name, "nested too deeply", f"at most {MAX_DEPTH} levels", "flatten the document", line)


def too_many(name: str, line: int | None = None) -> Problem:
    """For a document with more values than any spec."""
    limit = f"at most {MAX_NODES} keys and values once aliases are expanded"
    return Problem(name, "too many values", limit, "use `repeat` or `matrix`, or split the job", line)


def long_number(text: str) -> BadValue:
    """For a number that nobody can mean."""
    rule = f"at most {MAX_NUMBER} characters in a number"
    return BadValue(
        f"a number of {len(text)} characters", rule, "shorten it, or put it in quotes if it is text"
    )
