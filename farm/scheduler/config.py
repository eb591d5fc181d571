"""What can be set about scheduling. The defaults are for stages of seconds to minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.spec.run import Run

INFINITE_S = float("inf")


@dataclass(frozen=True, slots=True)
class HangConfig:
    """A task's deadline is `factor` times what such tasks have taken so far, never under `floor_s`.

    Until a stage has been measured, it is at least `first_s`: the first task of a process may compile
    kernels. Every hang doubles the deadline of the task's next attempt. `fixed_s` are deadlines by stage that
    the user set: they neither adapt nor double.
    """

    factor: float = 6.0
    floor_s: float = 120.0
    first_s: float = 1800.0
    fixed_s: Mapping[Stage, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RestConfig:
    """How long a worker that failed gets no work: `base_s`, doubled with every further loss up to `most_s`.

    `forgive_s` after the last loss the count starts anew. `streak` failures in a row without a result suspend
    a living worker. A worker lost `retire_after` times without a result in between is retired. A probe that
    is not answered within `probe_s` counts as a loss.
    """

    base_s: float = 2.0
    most_s: float = 120.0
    forgive_s: float = 600.0
    streak: int = 3
    retire_after: int = 8
    probe_s: float = 900.0


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """Settings of one job's scheduler.

    `max_losses` bounds the lost workers per task; None takes the failure table's cap. `budget_bytes` bounds
    the payloads that are made and not yet delivered; None allows `payloads_per_worker` chunks' worth for each
    worker. A worker may hold `depth` tasks, the one it runs included, while that is of a stage behind sample
    or a sample that is nearly done: `lead` of its usual duration are left, at most `lead_s`, and what its
    result takes to be written and sent. `swap_s` gives the seconds that loading a model costs on workers that
    cannot hold all of theirs; empty where all fit. `prompts_first`: the text encoder has no room beside the
    other models of a worker that hosts more than `encode`; it is needed once where every prompt is encoded
    before anything else.
    """

    max_attempts: int = 3
    max_losses: int | None = None
    budget_bytes: int | None = None
    payloads_per_worker: int = 4
    depth: int = 2
    lead: float = 0.1
    lead_s: float = 0.2
    swap_s: Mapping[str, float] = field(default_factory=dict)
    prompts_first: bool = False
    hang: HangConfig = HangConfig()
    rest: RestConfig = RestConfig()


def scheduler_config(run: Run) -> SchedulerConfig:
    """The spec's settings in the scheduler's terms."""
    named = {stage: getattr(run.deadlines, stage.value) for stage in Stage}
    fixed_s = {stage: deadline_s for stage, deadline_s in named.items() if deadline_s is not None}
    hang = HangConfig(run.deadlines.factor, run.deadlines.floor_s, run.deadlines.first_s, fixed_s)
    return SchedulerConfig(run.max_attempts, run.max_losses, budget_bytes(run), hang=hang)


def budget_bytes(run: Run) -> int | None:
    """The byte budget that the user set, if any."""
    return None if run.payload_budget_gib is None else int(run.payload_budget_gib * 2**30)
