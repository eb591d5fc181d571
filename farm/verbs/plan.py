"""`farm plan`: what a job will do, on which topology, how long it takes, and what it costs.

The scheduler that renders is simulated here on virtual time. Stage times are those that earlier renders into
the same runs directory measured, else those of one H200. Nothing is written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from farm.estimates.durations import BUNDLED_ON_CPU, Hardware, read_durations
from farm.estimates.model_size import LARGE, SMALL, WITH_SOUND, model_like
from farm.scheduler.graph import ScheduledTask, ScheduleGraph, scheduled
from farm.session.choices import as_chosen
from farm.session.selection import to_compute
from farm.simulator.simulate import simulate
from farm.simulator.workload import H200
from farm.specs.cautions import cautions
from farm.state.locks import read_locks
from farm.state.voids import Recorded
from farm.topology.bound import JobFacts, job_facts, quickened
from farm.topology.candidates import prompts_first
from farm.topology.lora_sets import lora_sets
from farm.topology.memory import engine_footprint
from farm.topology.memory_said import memory_line
from farm.topology.ranks import rank_rows
from farm.topology.search import Candidate, Found, SearchConfig, find_topology
from farm.topology.segment_workers import bottleneck, topology_for
from farm.topology.size_sources import size_sources
from farm.verbs.critical_path import chain_seconds
from farm.verbs.plan_report import PlanReport, lora_rows, stage_rows, takes_rows, topology_rows
from jobs.errors import CapacityError, UsageError
from jobs.planning.plan import make_plan
from jobs.planning.summary import plan_summary
from jobs.rules.faults import require_hosts
from jobs.store.opening import check_job_id
from jobs.store.store import Store
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.duplicates import find_duplicates
from jobs.tasks.graph import build_graph
from jobs.tasks.retention import estimate_disk
from jobs.tasks.task import Stage, StageTask, TaskGraph
from jobs.tasks.topology import AUTO, Machine, parse_topology

if TYPE_CHECKING:
    from farm.state.voids import Void
    from farm.topology.candidates import Footprint
    from farm.topology.ranks import RankRow
    from jobs.loading.load import LoadedSpec
    from jobs.planning.planned import Plan
    from jobs.spec.engine import EngineConfig


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """The machine to plan for. `topology` None takes the spec's; `gpu_gib` None takes every model to fit.

    `device` is the accelerator's type as Ray names it, such as `H200`, or `cpu`: stage times that renders
    measured there are taken from the runs directory. `cpus` bounds the segment workers; None takes as many as
    keep up.
    """

    runs_url: str
    job_id: str | None = None
    gpus: int = 1
    cpus: int | None = None
    device: str = "cpu"
    topology: str | None = None
    gpu_gib: float | None = None
    gpu_hour_cost: float | None = None


def plan_job(loaded: LoadedSpec, request: PlanRequest) -> PlanReport:
    """Plans without rendering. Raises UsageError (the topology) and CapacityError (too small a machine)."""
    machine, text = _machine(request), (request.topology or loaded.spec.run.topology).strip()
    if text != AUTO:
        parse_topology(text, machine)
    require_hosts(loaded.spec, text)
    job = _JobSoFar(loaded, request)
    (graph, left), needed = job.left, job.needed
    tasks = _tasks_left(graph, left, job)
    facts = job_facts(tasks)
    found = _search(tasks, facts, job, request, needed) if tasks else None
    summary = plan_summary(job.plan)
    rows = topology_rows(found, request.gpu_hour_cost) if found else ()
    return PlanReport(
        job=job.job_id,
        videos=summary.videos,
        chunks=summary.chunks,
        recipe=summary.recipe,
        passes=summary.passes,
        stages=stage_rows(graph, left, job.duration_s),
        takes=tuple(takes_rows(job.plan, graph, left, job.duration_s)),
        loras=lora_rows(job.sets, job.plan, graph, found),
        disk=estimate_disk(job.graph, job.plan.run.keep),
        gpus=request.gpus,
        times_from=job.times_from,
        times_borrowed=job.times_borrowed,
        memory=memory_line(job.plan.engine, needed, request.gpu_gib, text, facts.stages),
        models=job.models,
        topology=rows[0].topology if rows else "",
        makespan_s=rows[0].makespan_s if rows else 0.0,
        reason=found.reason if found else "every task is committed already: only films are assembled",
        options=rows,
        chain_s=chain_seconds(job.plan, _film_of(job.graph, facts), job.duration_s),
        warnings=(*cautions(job.plan, loaded.facts), *_bottleneck(found, machine, facts)),
        voids=job.voids(),
        locked=job.locked,
        ranks=_ranks(found, job, (graph.tasks[task] for task in left), request),
    )


def _ranks(
    found: Found | None, job: _JobSoFar, tasks: Iterable[StageTask], request: PlanRequest
) -> tuple[RankRow, ...]:
    if found is None:
        return ()
    topology, engine = found.winner.topology, job.plan.engine
    return tuple(rank_rows(topology, engine, list(tasks), request.device, request.gpu_gib))


def _film_of(graph: TaskGraph, facts: JobFacts) -> str:
    """The film with the longest chain."""
    last = graph.tasks.get(facts.chain.last_task)
    return last.video if last else ""


class _JobSoFar:
    """The plan beside what an earlier render of the job left: results that stand, and how long they took."""

    def __init__(self, loaded: LoadedSpec, request: PlanRequest) -> None:
        self.job_id = check_job_id(loaded.spec.name if request.job_id is None else request.job_id)
        self.store = _existing(request.runs_url, self.job_id)
        plan = make_plan(loaded.spec, loaded.facts)
        self.recorded: Recorded | None = None
        if self.store is not None:
            plan = as_chosen(self.store, plan)
            self.recorded = Recorded.of(self.store, plan, request.device)
        self.plan: Plan = self.recorded.plan if self.recorded else plan
        self.graph = build_graph(self.plan)
        self.needed = self._needed(request.gpu_gib)
        streamed = self.needed.streamed if self.needed else {}
        durations, place = (
            read_durations(request.runs_url),
            Hardware(self.plan.engine, request.device, streamed),
        )
        self._durations, self._place = durations, place
        self.sets = lora_sets(self.plan.engine, self.graph.tasks.values())
        self.models = size_sources(self.plan.engine, self.plan.recipe)
        self.duration_s = durations.estimate(place)
        self.overheads = durations.simulation(place, plan.run, self.sets.swap_s)
        self.gangs = durations.gang_sizes(place)
        measured = any(durations.knows(place, task) for task in self.graph.tasks.values())
        self.times_from = f"measured on {place.device}" if measured else _guess(place)
        self.times_borrowed = not durations.tells(place)

    def _needed(self, device_gib: float | None) -> Footprint | None:
        """What the rest of the job needs on GPUs of that size; None where one is unknown."""
        graph, left = self.left
        tasks = (graph.tasks[task] for task in left)
        return engine_footprint(self.plan.engine, tasks, device_gib) if device_gib else None

    @cached_property
    def left(self) -> tuple[TaskGraph, set[str]]:
        """The tasks that a render would compute, and the graph in which duplicates need one of them."""
        known = self._digests()
        duplicates = find_duplicates(known)
        graph = duplicates.merged(self.graph)
        missing = list(graph.tasks)
        if self.store is not None and self.recorded is not None:
            evicted = self.store.evicted_digests()
            missing = to_compute(graph, known, self.store.committed_digests(), evicted)
        return graph, set(duplicates.without(missing))

    def voids(self) -> tuple[Void, ...]:
        """What is another one here, and what that would cost."""
        if self.recorded is None:
            return ()
        made_on = replace(self._place, device=self.recorded.made_on)
        return self.recorded.voids(self._durations.estimate(made_on))

    @cached_property
    def locked(self) -> int:
        """Tasks whose results are locked."""
        locked = read_locks(self.store).digests if self.store else frozenset()
        return sum(digest in locked for digest in self._digests().values())

    def _digests(self) -> dict[str, str]:
        """Before a first render, any: equal tasks have equal digests all the same."""
        if self.recorded is not None:
            return self.recorded.digests(self.recorded.expected())
        return digests(self.graph, Fingerprint({}, {}, {path: path for path in input_files(self.graph)}))


def _existing(runs_url: str, job_id: str) -> Store | None:
    try:
        return Store.find(runs_url, job_id)
    except UsageError:
        return None


def _guess(place: Hardware) -> str:
    engine = place.engine
    if engine.name == "fake":
        return "the fake engine's settings"
    if f"{place.key(Stage.SAMPLE)}|{Stage.SAMPLE}" in BUNDLED_ON_CPU:
        return "the bundled model on two idle cores"
    return f"{_measured_model(engine)}; nothing of it was measured on {place.device} yet"


def _measured_model(engine: EngineConfig) -> str:
    """Whose times are taken, and how far off they may be."""
    if not (engine.checkpoint or engine.diffusion_model):
        return f"{SMALL} on one H200, many times those of the bundled model"
    like = model_like(engine)
    if like is not None:
        return f"{like} on one H200"
    slower = " and ".join(f"{_slower(name):.0f} times as long for {name}" for name in (LARGE, WITH_SOUND))
    return f"{SMALL} on one H200, as the model's file is not known here (about {slower})"


def _slower(model: str) -> float:
    return H200[model].sample_s / H200[SMALL].sample_s


@contextmanager
def _naming_sources(models: str) -> Iterator[None]:
    """What is refused for its size says where that comes from."""
    try:
        yield
    except CapacityError as error:
        raise CapacityError(f"{error}; {models}" if models else str(error)) from None


def _tasks_left(graph: TaskGraph, left: set[str], job: _JobSoFar) -> list[ScheduledTask]:
    """What is left, as the scheduler sees it; needs that are committed are no needs."""
    tasks = (task for task in graph.tasks.values() if task.id in left)
    return [_without(scheduled(task, job.duration_s(task), job.sets.of(task)), left) for task in tasks]


def _without(task: ScheduledTask, left: set[str]) -> ScheduledTask:
    return replace(task, needs=tuple(need for need in task.needs if need in left))


def _search(
    tasks: list[ScheduledTask],
    facts: JobFacts,
    job: _JobSoFar,
    request: PlanRequest,
    needed: Footprint | None,
) -> Found:
    plan, overheads, machine = job.plan, job.overheads, _machine(request)
    text = (request.topology or plan.run.topology).strip()
    if text == AUTO:
        with _naming_sources(job.models):
            return find_topology(tasks, SearchConfig(machine, needed, overheads, job.gangs))
    facts = job_facts(quickened(tasks, parse_topology(text, machine), overheads.gang_speed))
    topology = topology_for(text, machine, facts)
    scheduler = replace(overheads.scheduler, prompts_first=prompts_first(topology, facts.stages, needed))
    run = simulate(ScheduleGraph(tasks), topology, replace(overheads, scheduler=scheduler))
    only = Candidate.of(run, facts.bound(topology))
    source = "--topology" if request.topology else "run.topology"
    return Found(only, (only,), f"{source} says so; `--topology auto` looks for a better one")


def _machine(request: PlanRequest) -> Machine:
    return Machine(request.gpus, cpus=math.inf if request.cpus is None else request.cpus)


def _bottleneck(found: Found | None, machine: Machine, facts: JobFacts) -> tuple[str, ...]:
    """What is said where the GPUs would wait for segments."""
    if found is None:
        return ()
    compared = [each.topology for each in found.simulated]
    said = bottleneck(found.winner.topology, machine, facts, compared)
    return (said,) if said else ()
