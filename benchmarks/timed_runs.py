"""What one contender took for one job, and the farm's own laps from its event log."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.events import Notice, TaskCommitted, TaskStarted
from farm.state.event_log import EventLog, Logged

if TYPE_CHECKING:
    from benchmarks.workloads import Workload

STORE_BYTES = 512 * 2**20
CPUS_PER_GPU = 4
GRACE_S = 5.0
MOST_ACTORS_LISTED = "40000"


@dataclass(frozen=True, slots=True)
class Lap:
    """`start_s`: until every worker is ready; `makespan_s`: from the first step's begin to the last result.

    `topology` is what `auto` took, where it was asked."""

    start_s: float
    makespan_s: float
    topology: str = ""


@contextmanager
def memory_folder() -> Iterator[Path]:
    """A folder in memory where the machine has one, so that no disk is measured."""
    where = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=where, prefix="bench-") as folder:
        yield Path(folder)


@contextmanager
def own_ray(gpus: int, dashboard: bool = False) -> Iterator[float]:
    """A Ray of our own with logical GPUs; gives the seconds that it took to start."""
    import ray

    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for limit in ("RAY_MAX_LIMIT_FROM_API_SERVER", "RAY_MAX_LIMIT_FROM_DATA_SOURCE"):
        os.environ.setdefault(limit, MOST_ACTORS_LISTED)  # cosmos-xenna asks for so many
    begun_s = time.monotonic()
    context = ray.init(
        address="local",
        num_gpus=gpus,
        num_cpus=CPUS_PER_GPU * gpus,
        object_store_memory=STORE_BYTES,
        include_dashboard=dashboard,
        log_to_driver=False,
        logging_level="ERROR",
    )
    if dashboard:
        os.environ["RAY_API_SERVER_ADDRESS"] = f"http://{context.dashboard_url}"
    try:
        yield time.monotonic() - begun_s
    finally:
        _shut_down()


@dataclass(frozen=True, slots=True)
class Place:
    """Where the farm renders: films and run directories in `folder`, or the latter in `runs`; on at most
    `gpus`."""

    folder: Path
    runs: Path | None = None
    gpus: int | None = None

    @property
    def runs_url(self) -> str:
        return str(self.runs or self.folder / "runs")


def _shut_down() -> None:
    """End Ray and every process it started; some libraries' workers would outlive it and load the machine."""
    import psutil
    import ray

    ours = psutil.Process().children(recursive=True)
    ray.shutdown()
    for left in psutil.wait_procs(ours, timeout=GRACE_S)[1]:
        left.kill()


def farm_lap(work: Workload, topology: str, place: Place) -> Lap:
    """Render the job on the open Ray session: real workers, commits and segments.

    The makespan runs from the first task handed out, when every worker is ready, to the last commit.
    """
    from benchmarks.gathered import gathered
    from farm.execution.driver import RayOptions, render_on_ray
    from farm.session.opening import Scope
    from jobs.loading.load import load_spec
    from jobs.store.store import Store

    scope = Scope(place.runs_url, place.folder.name)
    loaded, begun_s = load_spec(work.document(place.folder / "out")), time.time()
    with gathered():
        events = list(render_on_ray(loaded, scope, RayOptions(topology, place.gpus)))
    outcome = getattr(events[-1], "outcome", "")
    if outcome != "done":
        raise RuntimeError(f"the farm ended {outcome or events[-1]}")
    return _lap(list(EventLog(Store.open(scope.runs_url, place.folder.name))), begun_s)


def _lap(log: list[Logged], begun_s: float) -> Lap:
    first_s = min(logged.at_s for logged in log if isinstance(logged.event, TaskStarted))
    last_s = max(logged.at_s for logged in log if isinstance(logged.event, TaskCommitted))
    notices = [logged.event.message for logged in log if isinstance(logged.event, Notice)]
    taken = [text.split()[1].rstrip(":") for text in notices if text.startswith("topology ")]
    return Lap(first_s - begun_s, last_s - first_s, taken[-1] if taken else "")
