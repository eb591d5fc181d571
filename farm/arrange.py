"""What is left of a job, and `run.topology: auto`: the topology that the simulator finds fastest for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from cluster.inventory import Inventory
from farm.bound import JobFacts, job_facts
from farm.candidates import Footprint
from farm.durations import Place, read_durations
from farm.footprint import engine_footprint, memory_said
from farm.schedule_graph import ScheduledTask, scheduled
from farm.segments import bottleneck
from farm.session import JobSession
from farm.topology_search import Found, SearchConfig, find_topology
from farm.workforce import machine_of
from jobs.graph import StageTask
from jobs.topology import Topology


def find_arrangement(session: JobSession, inventory: Inventory, gpus: int | None) -> Found:
    """The fastest topology on at most `gpus` of the GPUs that the cluster has or its autoscaler may bring,
    with stage times as measured so far.

    Raises CapacityError on a cluster without a GPU, or where one stage alone does not fit on one.
    """
    known, place = read_durations(session.scope.runs_url), Place(session.plan.engine, inventory.device)
    tasks = _left(session, known.estimate(place))
    machine = machine_of(inventory, job_facts(tasks))
    machine = replace(machine, gpus=machine.gpus if gpus is None else min(float(gpus), machine.gpus))
    return find_topology(
        tasks,
        SearchConfig(machine, _footprint(session, inventory), known.simulation(place, session.plan.run)),
    )


def short_of_memory(session: JobSession, inventory: Inventory) -> str:
    """What to tell the user of memory on real GPUs; empty where there is nothing to tell."""
    if not any(node.accelerator for node in inventory.nodes):
        return ""
    return memory_said(session.plan.engine, _footprint(session, inventory))


def _footprint(session: JobSession, inventory: Inventory) -> Footprint | None:
    device_gib = inventory.device_gib(every=session.plan.run.mixed_compute)
    if not device_gib:
        return None
    left = (session.graph.tasks[task] for task in session.ledger.left)
    return engine_footprint(session.plan.engine, left, device_gib)


def facts_left(session: JobSession, inventory: Inventory) -> JobFacts:
    """What bounds the rest of the job, with stage times as measured so far."""
    known, place = read_durations(session.scope.runs_url), Place(session.plan.engine, inventory.device)
    return job_facts(_left(session, known.estimate(place)))


def held_up(
    session: JobSession,
    inventory: Inventory,
    facts: JobFacts,
    topology: Topology,
    weighed: Iterable[Topology],
) -> str:
    """What to tell the user where the topology's GPUs will wait for segments; empty while their own times are
    unknown. `weighed` are the topologies that `auto` compared it with."""
    known, place = read_durations(session.scope.runs_url), Place(session.plan.engine, inventory.device)
    return bottleneck(topology, machine_of(inventory), facts, weighed) if known.tells(place) else ""


def _left(session: JobSession, seconds: Callable[[StageTask], float]) -> list[ScheduledTask]:
    """What has to be computed; every task while the digests are unknown. Committed needs are no needs."""
    names = set(session.ledger.left)
    tasks = (scheduled(task, seconds(task)) for name, task in session.graph.tasks.items() if name in names)
    return [replace(task, needs=tuple(need for need in task.needs if need in names)) for task in tasks]
