"""`run.topology: auto`: the topology that the simulator finds fastest for what is left of a job."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farm.estimates.durations import Durations, Hardware, read_durations
from farm.scheduler.graph import ScheduledTask, scheduled
from farm.topology.bound import JobFacts, job_facts, quickened
from farm.topology.candidates import prompts_first
from farm.topology.lora_sets import lora_sets
from farm.topology.machine import machine_of
from farm.topology.memory import engine_footprint
from farm.topology.memory_said import memory_notice, streams_said
from farm.topology.search import Found, SearchConfig, find_topology
from farm.topology.segment_workers import bottleneck
from jobs.rules.faults import ANY_MACHINE_GPUS
from jobs.tasks.topology import Machine, parse_topology

if TYPE_CHECKING:
    from cluster.inventory import Inventory
    from farm.estimates.remaining_work import RemainingWork
    from farm.topology.candidates import Footprint
    from jobs.tasks.task import StageTask
    from jobs.tasks.topology import Topology


def choose_topology(work: RemainingWork, inventory: Inventory, gpus: int | None) -> Found:
    """The fastest topology on at most `gpus` of the GPUs that the cluster has or its autoscaler may bring,
    with stage times as measured so far.

    Raises CapacityError on a cluster without a GPU, or where one stage alone does not fit on one.
    """
    known, place = _stage_times(work, inventory)
    sets = lora_sets(work.engine, work.tasks)
    tasks = _scheduled(work, known.estimate(place), sets.of)
    machine = machine_of(inventory, job_facts(tasks))
    machine = replace(machine, gpus=machine.gpus if gpus is None else min(float(gpus), machine.gpus))
    simulation = known.simulation(place, work.run, sets.swap_s)
    config = SearchConfig(machine, _footprint(work, inventory), simulation, known.gang_sizes(place))
    return find_topology(tasks, config)


def memory_warning(work: RemainingWork, inventory: Inventory) -> str:
    """What a user should know of memory on real GPUs; empty where there is nothing to say."""
    if not any(node.accelerator for node in inventory.nodes):
        return ""
    return memory_notice(work.engine, _footprint(work, inventory))


def streams_notice(work: RemainingWork, inventory: Inventory) -> str:
    """What a user should know of models that are streamed on the GPUs there; empty where none is."""
    return streams_said(_footprint(work, inventory))


def has_prompts_first(work: RemainingWork, inventory: Inventory, topology: Topology) -> bool:
    """Whether the text encoder has no room beside the other models of a worker, as far as memory is known."""
    return prompts_first(topology, {task.stage for task in work.tasks}, _footprint(work, inventory))


def streamed_models(work: RemainingWork, inventory: Inventory) -> Mapping[str, float]:
    """The models that fit on no GPU whole, by the GiB that come over for each forward, as far as memory is
    known."""
    footprint = _footprint(work, inventory)
    return footprint.streamed if footprint is not None else {}


def remaining_facts(work: RemainingWork, inventory: Inventory, text: str) -> JobFacts:
    """What bounds the rest of the job on workers of that topology, with stage times as measured so far."""
    known, place = _stage_times(work, inventory)
    tasks = _scheduled(work, known.estimate(place))
    topology = parse_topology(text, Machine(ANY_MACHINE_GPUS))
    return job_facts(quickened(tasks, topology, partial(known.gang_speed, place)))


def segment_warning(
    work: RemainingWork,
    inventory: Inventory,
    facts: JobFacts,
    topology: Topology,
    compared: Iterable[Topology],
) -> str:
    """What a user should know where the topology's GPUs will wait for segments; empty while their own times
    are unknown. `compared` are the topologies that `auto` simulated beside it."""
    known, place = _stage_times(work, inventory)
    return bottleneck(topology, machine_of(inventory), facts, compared) if known.tells(place) else ""


def _stage_times(work: RemainingWork, inventory: Inventory) -> tuple[Durations, Hardware]:
    streamed = streamed_models(work, inventory)
    return read_durations(work.runs_url), Hardware(work.engine, inventory.device, streamed)


def _footprint(work: RemainingWork, inventory: Inventory) -> Footprint | None:
    device_gib = inventory.device_gib(every=work.run.mixed_compute)
    return engine_footprint(work.engine, work.tasks, device_gib) if device_gib else None


def _scheduled(
    work: RemainingWork,
    seconds: Callable[[StageTask], float],
    resident: Callable[[StageTask], str] = lambda _: "",
) -> list[ScheduledTask]:
    """The tasks as the scheduler takes them; what is committed is no need of theirs."""
    names = {task.id for task in work.tasks}
    tasks = (scheduled(task, seconds(task), resident(task)) for task in work.tasks)
    return [replace(task, needs=tuple(need for need in task.needs if need in names)) for task in tasks]
