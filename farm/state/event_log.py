"""The stored events of a job, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.events import Event, from_line
from jobs.errors import NewerFormat
from jobs.records import Unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jobs.store.store import Store

MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Logged:
    """One event, when it was seen (epoch seconds), and the driver run that saw it."""

    at_s: float
    event: Event
    run: str = ""


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A line that holds no event that this version can read: its file in the run directory, its number from
    1, and what is wrong with it."""

    file: str
    line: int
    fault: str

    def __str__(self) -> str:
        return f"{self.file} line {self.line}: {self.fault}; passed over"


def newest_of(log: Sequence[Logged]) -> list[Logged]:
    """The events of the newest driver run."""
    return [logged for logged in log if logged.run == log[-1].run]


class EventLog:
    """The events of every driver run (or of the newest), oldest first. Iterate once; `passed_over` then has
    the lines that could not be read."""

    def __init__(self, store: Store, newest_run: bool = False) -> None:
        self.store, self.newest_run = store, newest_run
        self.passed_over: list[PassedOver] = []

    def __iter__(self) -> Iterator[Logged]:
        for line in self.store.event_lines(self.newest_run):
            try:
                at_s, event = from_line(line.data)
            except (Unreadable, NewerFormat) as fault:
                self.passed_over.append(PassedOver(line.file, line.number, str(fault)))
            else:
                yield Logged(at_s, event, line.run)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was passed over, for people: each line once, of many the first ones."""
        more = len(self.passed_over) - MOST_NAMED
        rest = (f"{more} more lines of the event log; passed over",) if more > 0 else ()
        return (*map(str, self.passed_over[:MOST_NAMED]), *rest)
