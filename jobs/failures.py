"""The failure table: what each kind of failure costs and what is done about it.

Pure data and one pure function. The scheduler keeps each task's failures and calls `decide`; it owns which
worker comes next, this module owns whether there is a next time and under which terms.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from jobs.errors import FailureKind

CORRUPT_INPUT_CAP = 3
"""How often one task may find its inputs damaged before the medium is taken to be broken."""


class Action(StrEnum):
    """What happens to the task."""

    RETRY = "retry"
    RERENDER_INPUT = "rerender_input"
    QUARANTINE = "quarantine"
    PAUSE = "pause"


class Rung(StrEnum):
    """One step of the out-of-memory ladder; a task climbs one rung per failure and keeps the lower ones."""

    EMPTY_CACHE = "empty_cache"
    EVICT_RESIDENTS = "evict_residents"
    OFFLOAD = "offload"
    OTHER_WORKER = "other_worker"
    TILE_DECODE = "tile_decode"
    MORE_FFN_CHUNKS = "more_ffn_chunks"

    @property
    def exact(self) -> bool:
        """Whether the result's bytes are those of an undisturbed run."""
        return self not in {Rung.TILE_DECODE, Rung.MORE_FFN_CHUNKS}


EXACT_RUNGS = tuple(rung for rung in Rung if rung.exact)
CHANGING_RUNGS: Mapping[str, tuple[Rung, ...]] = MappingProxyType(
    {
        "decode": (Rung.TILE_DECODE,),
        "sample": (Rung.MORE_FFN_CHUNKS,),
        "upscale": (Rung.MORE_FFN_CHUNKS,),
    }
)


def ladder(stage: str) -> tuple[Rung, ...]:
    """The rungs of one stage, byte-preserving ones first."""
    return EXACT_RUNGS + CHANGING_RUNGS.get(stage, ())


@dataclass(frozen=True, slots=True)
class FailurePolicy:
    """One row of the table.

    `consumes_attempt`: counts against `run.max_attempts`.
    `cap`: how many failures of this kind one task may have, where the kind has a limit of its own.
    `elsewhere`: the next attempt goes to another worker if one can serve.
    `pause`: the whole job waits for the user.
    `twice_same`: the same evidence twice ends it.
    """

    consumes_attempt: bool = False
    cap: int | None = None
    elsewhere: bool = False
    pause: bool = False
    twice_same: bool = False


TABLE: Mapping[FailureKind, FailurePolicy] = MappingProxyType(
    {
        FailureKind.INVALID: FailurePolicy(cap=1),
        FailureKind.OOM: FailurePolicy(),
        FailureKind.WORKER_LOST: FailurePolicy(cap=5),
        FailureKind.HANG: FailurePolicy(consumes_attempt=True),
        FailureKind.BAD_OUTPUT: FailurePolicy(consumes_attempt=True, elsewhere=True, twice_same=True),
        FailureKind.STORAGE: FailurePolicy(pause=True),
        FailureKind.BUG: FailurePolicy(cap=2, elsewhere=True),
    }
)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt.

    `evidence` is the SHA-256 of a bad output, `corrupt_input` the digest of a damaged input.
    """

    kind: FailureKind
    worker: str = ""
    message: str = ""
    evidence: str = ""
    corrupt_input: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do after a failure, and why.

    `avoid` names workers that should not get the task if another can; `rungs` is the ladder so far, to be
    applied by the next attempt.
    """

    action: Action
    reason: str
    avoid: tuple[str, ...] = ()
    rungs: tuple[Rung, ...] = ()


def attempts_consumed(failures: Sequence[Failure]) -> int:
    """How many of a task's failures count against `run.max_attempts`."""
    return sum(TABLE[failure.kind].consumes_attempt for failure in failures)


def decide(
    failures: Sequence[Failure], stage: str, max_attempts: int, max_losses: int | None = None
) -> Verdict:
    """What to do after the last of a task's failures; `failures` holds all of them, oldest first.

    `max_attempts` and `max_losses` are those of the spec's `run`; None takes the table's cap.
    """
    action, reason = _action(failures, stage, max_attempts, max_losses)
    rungs = _rungs(failures, stage)
    again = action is not Action.QUARANTINE
    return Verdict(
        action=action,
        reason=reason,
        avoid=_avoid(failures, rungs) if again else (),
        rungs=rungs if again else (),
    )


def _action(
    failures: Sequence[Failure], stage: str, max_attempts: int, max_losses: int | None
) -> tuple[Action, str]:
    last = failures[-1]
    policy = TABLE[last.kind]
    if last.corrupt_input:
        return _after_corrupt_input(failures)
    if policy.pause:
        return Action.PAUSE, f"storage: {last.message}"
    exhausted = _exhausted(failures, stage, max_attempts, max_losses)
    if exhausted:
        return Action.QUARANTINE, exhausted
    return Action.RETRY, _retry_reason(failures, stage, max_attempts)


def _after_corrupt_input(failures: Sequence[Failure]) -> tuple[Action, str]:
    found = sum(bool(failure.corrupt_input) for failure in failures)
    digest = failures[-1].corrupt_input
    if found >= CORRUPT_INPUT_CAP:
        return Action.PAUSE, f"storage: inputs were damaged {found} times, the medium cannot be trusted"
    return Action.RERENDER_INPUT, f"storage: input {digest[:12]} does not verify, it is rendered again"


def _exhausted(failures: Sequence[Failure], stage: str, max_attempts: int, max_losses: int | None) -> str:
    """Why there is no next attempt; empty where there is one."""
    kind = failures[-1].kind
    policy, count = TABLE[kind], sum(failure.kind is kind for failure in failures)
    cap = max_losses if kind is FailureKind.WORKER_LOST and max_losses is not None else policy.cap
    if cap is not None and count >= cap:
        return f"{kind}: {count} of at most {cap}"
    if kind is FailureKind.OOM and count > len(ladder(stage)):
        return "oom: out of memory on every rung of the ladder"
    if policy.twice_same and _repeated(failures):
        return f"{kind}: two attempts made the same bytes, a third would too"
    if policy.consumes_attempt and attempts_consumed(failures) >= max_attempts:
        return f"{kind}: {attempts_consumed(failures)} of at most {max_attempts} attempts"
    return ""


def _repeated(failures: Sequence[Failure]) -> bool:
    seen = [
        failure.evidence for failure in failures if failure.kind is failures[-1].kind and failure.evidence
    ]
    return bool(failures[-1].evidence) and seen.count(failures[-1].evidence) > 1


def _retry_reason(failures: Sequence[Failure], stage: str, max_attempts: int) -> str:
    last = failures[-1]
    if last.kind is FailureKind.OOM:
        return f"oom: next attempt with {_rungs(failures, stage)[-1]}"
    if TABLE[last.kind].consumes_attempt:
        return f"{last.kind}: attempt {attempts_consumed(failures)} of {max_attempts} used"
    return f"{last.kind}: requeued, no attempt consumed"


def _rungs(failures: Sequence[Failure], stage: str) -> tuple[Rung, ...]:
    climbed = sum(failure.kind is FailureKind.OOM for failure in failures)
    return ladder(stage)[:climbed]


def _avoid(failures: Sequence[Failure], rungs: tuple[Rung, ...]) -> tuple[str, ...]:
    """Workers that failed this task in a way that another worker may not, in order of their first failure."""
    moving = {kind for kind, policy in TABLE.items() if policy.elsewhere}
    if Rung.OTHER_WORKER in rungs:
        moving.add(FailureKind.OOM)
    return tuple(dict.fromkeys(f.worker for f in failures if f.kind in moving and f.worker))
