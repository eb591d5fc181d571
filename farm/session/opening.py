"""How a job is opened: where it renders, what forbids it, its first state and its first event."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cluster.inventory import UNKNOWN
from cluster.local_gpus import local_device
from farm.estimates.durations import Hardware, read_durations
from farm.events import JobPlanned
from farm.output.ownership import refuse_foreign_outputs, require_output
from farm.session.resuming import known_state
from farm.state.job_state import JobState, TaskCounts
from farm.state.locks import read_locks
from farm.state.requests import require_not_cancelled, require_ours
from farm.state.voids import CPU, Recorded
from jobs.commands import SERIAL
from jobs.storage_problems import user_name
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from farm.session.ledger import Ledger
    from farm.state.spec_origin import SpecOrigin
    from jobs.planning.planned import Plan
    from jobs.store.store import Store


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a job renders and how far: `runs_url` holds the run directories, `until` ends after that
    stage, `resume` takes a cancelled job up again."""

    runs_url: str
    job_id: str | None = None
    until: Stage | None = None
    topology: str = SERIAL
    resume: bool = False


def require_renderable(store: Store, plan: Plan, scope: Scope) -> None:
    """Raises NewerFormat, DamagedDocument (what is locked), UsageError (a cancelled job, a film that would
    replace what this job did not write) and StoreUnusable where no film could be written."""
    require_ours(store)
    read_locks(store)
    if not scope.resume:
        known = known_state(store, scope.topology, on_purpose=False)
        require_not_cancelled(store.job_id, scope.runs_url, scope.topology, known)
    refuse_foreign_outputs(plan, store)
    if scope.until is None:
        require_output(plan, store)


def foreseen(store: Store, plan: Plan, scope: Scope) -> list[str]:
    """What rendering the job here would make anew, a line for each cause."""
    recorded = Recorded.of(store, plan, _device(scope))
    if recorded is None:
        return []
    place = Hardware(plan.engine, recorded.made_on)
    return [str(void) for void in recorded.voids(read_durations(store.runs_url).estimate(place))]


def _device(scope: Scope) -> str:
    """What the job would be rendered on; the nodes of a cluster are not those of a driver without a GPU."""
    here = local_device()
    return here if here != CPU or scope.topology == SERIAL else UNKNOWN


def first_state(
    store: Store, plan: Plan, ledger: Ledger, topology: str, origin: SpecOrigin | None
) -> JobState:
    """How a job stands that begins now and was never rendered before."""
    return JobState(
        job=store.job_id,
        topology=topology,
        started_s=time.time(),
        tasks=TaskCounts(total=len(ledger.scoped)),
        films=len(plan.outputs),
        spec=origin,
        created=plan.created,
        user=user_name(),
        host=socket.gethostname(),
    )


def job_planned(store: Store, plan: Plan, ledger: Ledger, reused: int) -> JobPlanned:
    """The opening event of a job whose digests are known."""
    totals, done = ledger.counts()
    return JobPlanned(
        job=store.job_id,
        run_dir=store.url,
        videos=tuple(video.name for video in plan.videos),
        frames=plan.frames,
        tasks=len(ledger.scoped),
        reused=reused,
        totals=totals,
        done=done,
    )
