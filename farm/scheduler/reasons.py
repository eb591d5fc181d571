"""Why a decision was taken: a code and its numbers, turned into a sentence only when somebody reads it.

A job of 100,000 chunks takes half a million decisions; as sentences they would cost more than the scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Codes; the value is the sentence, with the numbers' places."""

    # Assign
    CRITICAL = "the longest remaining path: {0:.1f} s follow it, and all workers are busy for {1:.1f} s more"
    DOWNSTREAM = "{0} is furthest downstream; the longest path has {1:.1f} s to spare"
    PROMPTS = "prompts come first, as the text encoder has no room beside the other models: {0} are ready"
    LEFTOVER = "nothing but {0} is ready that this worker can do"
    RESIDENT = "the worker holds {0}; loading it elsewhere costs {1:.1f} s"
    CHANGE = "the worker loads {0} in {1:.1f} s: {2:.1f} s of work need it; workers that hold it: {3}"
    AGAIN = "again: {0}"

    # Suspend, Probe, Kill
    LOST = "lost ({0}), {1} in a row; tried again in {2:.0f} s"
    UNRELIABLE = "{0} failures in a row, the last one {1}; tried again in {2:.0f} s"
    LEAVING = "its node goes away soon: what it holds may finish, nothing more is given to it"
    PROBE_DUE = "its rest is over"
    PROBE_LAST = "nobody else can serve {0} now"
    DEADLINE = "no result after {1:.0f} s, the deadline of this {0} task; such tasks take {2:.1f} s here"

    # Quarantine, PauseJob, Finish
    QUARANTINED = "{0}"
    STORAGE = "{0}"
    BY_USER = "{0}"
    ALL_DONE = "all {0} tasks are committed"
    SOME_QUARANTINED = "{0} tasks are committed; {1} are quarantined, and {2} that need them did not run"
    NO_WORKER = "no worker is left that can serve {0}; {1} tasks wait"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and the numbers of its sentence; `str()` is what `farm why` prints."""

    why: Why
    values: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.why.value.format(*self.values)
