"""Why a decision was taken: a code and its numbers, turned into a sentence only when somebody reads it.

A job of 100,000 chunks takes half a million decisions; as sentences they would cost more than the scheduling.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Why(StrEnum):
    """Codes; the value is the sentence, with the numbers' places."""

    # Assign: why this task on this worker now
    ONLY_KIND = "the most urgent {0} task: {1:.1f} s of work hang on it"
    CRITICAL = "on the longest remaining path: {1:.1f} s, and the whole job needs at least {2:.1f} s more"
    DOWNSTREAM = "{0} first: it is furthest downstream, and the job has {1:.1f} s of slack for it"
    RESIDENT = "the worker holds the model of {0}; changing it would cost {1:.1f} s"
    AHEAD = "queued behind the running task, so that the worker never waits ({1} more {0} tasks are ready)"
    RETRY = "again after {0}: failure {1} of {2} allowed"
    REQUEUED = "again, without counting an attempt: {0}"

    # Suspend, Probe, Kill
    LOST = "the worker was lost ({0}), loss {1}; it is tried again in {2:.0f} s"
    UNRELIABLE = "{0} failures in a row on this worker, the last one {1}; it is tried again in {2:.0f} s"
    PROBE_DUE = "the suspension is over"
    PROBE_LAST = "no other worker can serve {0}"
    DEADLINE = "no result after {0:.0f} s; {1} tasks take {2:.1f} s here, and the deadline is {3:.0f} s"

    # Quarantine, PauseJob, Finish
    SAME_BYTES = "two workers returned the same bad output ({0}): a further attempt would too"
    EXHAUSTED = "{0} after {1} attempts: {2}"
    INVALID = "the task can never succeed as it is: {0}"
    OOM_EXHAUSTED = "out of memory with every measure tried ({0}): {1}"
    LOST_TOO_OFTEN = "{0} workers were lost while they ran it: {1}"
    STORAGE = "storage: {0}"
    BY_USER = "{0}"
    ALL_DONE = "{0} tasks are committed"
    SOME_QUARANTINED = "{0} tasks are committed; {1} were given up and {2} need them"
    NO_WORKER = "no worker is left that can serve {0}"


@dataclass(frozen=True, slots=True)
class Reason:
    """A code and the numbers of its sentence; `str()` is what `farm why` prints."""

    why: Why
    values: tuple[object, ...] = ()

    def __str__(self) -> str:
        return self.why.value.format(*self.values)
