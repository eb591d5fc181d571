"""`run.topology: auto`: the topology that the simulator finds fastest for what is left of a job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from cluster.inventory import Inventory
from farm.durations import Place, read_durations
from farm.footprint import engine_footprint
from farm.schedule_graph import ScheduledTask, scheduled
from farm.session import JobSession
from farm.topology_search import Found, SearchConfig, find_topology
from farm.workforce import segment_workers
from jobs.graph import StageTask
from jobs.topology import Machine


def find_arrangement(session: JobSession, inventory: Inventory, gpus: int | None) -> Found:
    """The fastest topology on at most `gpus` of the cluster's GPUs, with stage times as measured so far.

    Raises CapacityError on a cluster without a GPU, or where one stage alone does not fit on one.
    """
    available = inventory.gpus if gpus is None else min(float(gpus), inventory.gpus)
    machine = Machine(available, segment_workers(available, inventory.cpus))
    device_gib = inventory.device_gib
    footprint = engine_footprint(session.plan.engine, device_gib) if device_gib else None
    known, place = read_durations(session.scope.runs_url), Place(session.plan.engine, inventory.device)
    config = SearchConfig(machine, footprint, known.simulation(place, session.plan.run))
    return find_topology(_left(session, known.estimate(place)), config)


def _left(session: JobSession, seconds: Callable[[StageTask], float]) -> list[ScheduledTask]:
    """What has to be computed; every task while the digests are unknown. Committed needs are no needs."""
    names = set(session.todo) if session.digests else set(session.scoped)
    tasks = (scheduled(task, seconds(task)) for name, task in session.graph.tasks.items() if name in names)
    return [replace(task, needs=tuple(need for need in task.needs if need in names)) for task in tasks]
