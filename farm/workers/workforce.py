"""The workers of a render: from a topology to what each asks of the cluster, and how it is configured."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cluster.inventory import Inventory, WorkerRequest
from farm.topology.machine import machine_of
from farm.topology.segment_workers import topology_for
from jobs.planning.params import PassParams
from jobs.planning.rounds.params import TileParams
from jobs.tasks.task import Stage
from jobs.tasks.topology import AUTO, MONO, Machine, Pool, Topology, parse_topology

if TYPE_CHECKING:
    from cluster.pool.shell import Placement
    from farm.session.session import JobSession
    from farm.topology.bound import JobFacts
    from jobs.tasks.task import TaskGraph

SEGMENT_CPUS = 1.0
TRACE = "FARM_TRACE"
"""Names a file to which every worker appends a line when a step begins and when its result is committed."""


@dataclass(frozen=True, slots=True)
class Workforce:
    """Workers by id, in the order they are asked for. `prompts_first`: the text encoder has no room beside
    the other models of a worker, so that prompts are encoded before anything else; `streamed` are the models
    whose blocks stay in host memory."""

    topology: Topology
    stages: dict[str, frozenset[Stage]]
    requests: tuple[WorkerRequest, ...]
    prompts_first: bool = False
    streamed: frozenset[str] = frozenset()

    def ranks(self, worker: str) -> int:
        """How many ranks the worker has."""
        return next(request.ranks for request in self.requests if request.id == worker)

    def hosts(self, stage: Stage) -> frozenset[str]:
        """The workers that host a stage."""
        return frozenset(worker for worker, stages in self.stages.items() if stage in stages)


def make_workforce(
    text: str,
    inventory: Inventory,
    gpus: int | None,
    needed: frozenset[Stage],
    facts: JobFacts | None = None,
) -> Workforce:
    """The workforce for a topology's text. `gpus` bounds what `mono` takes; None takes every GPU there is,
    and of those that an autoscaler may bring as many as the job's `facts` have use for.

    Segments get the workers that the text names, else those that the job's `facts` ask for; one where there
    are none. Pools without a stage that the job needs are left out. Raises UsageError and CapacityError.
    """
    machine = machine_of(inventory, facts)
    available = machine.gpus if gpus is None else float(gpus)
    machine = replace(machine, gpus=available if text.strip() == MONO else math.inf)
    topology = topology_for(text, machine, facts) if facts else parse_topology(text, machine)
    topology.require(needed)
    idle = topology.idle_pools(needed)
    return _enlist(Topology(tuple(pool for pool in topology.pools if pool not in idle)))


def gpus_named(text: str) -> int:
    """The GPUs that a topology's text asks for by itself: 1 for `mono` and `auto`. Raises UsageError."""
    if text.strip() in (MONO, AUTO):
        return 1
    return math.ceil(parse_topology(text, Machine(math.inf)).gpus)


def _enlist(topology: Topology) -> Workforce:
    stages: dict[str, frozenset[Stage]] = {}
    requests = []
    for pool in topology.pools:
        for number in range(pool.count):
            worker = f"{_name(pool)}-{number}"
            stages[worker] = pool.stages
            cpus = 0.0 if pool.gpus else SEGMENT_CPUS * pool.ranks
            requests.append(WorkerRequest(worker, gpus=pool.worker_gpus, cpus=cpus, ranks=pool.ranks))
    # Gangs first, as long as nodes have all their GPUs.
    requests.sort(key=lambda request: -request.ranks)
    return Workforce(topology, stages, tuple(requests))


def _name(pool: Pool) -> str:
    return MONO if {Stage.SAMPLE, Stage.DECODE} <= pool.stages else pool.name


def configure(session: JobSession, workforce: Workforce) -> Callable[[WorkerRequest, Placement], Any]:
    """The configuration of a placed worker: its stages, its device, the job's store and thread counts."""
    from actors.worker.order import WorkerConfig

    run, sizes = session.plan.run, _sizes(session.graph)

    def config(request: WorkerRequest, placement: Placement) -> WorkerConfig:
        return WorkerConfig(
            engine=session.plan.engine,
            stages=workforce.stages[request.id] & session.graph.stages,
            device=placement.device,
            threads=run.threads,
            runs_url=session.scope.runs_url,
            job_id=session.store.job_id,
            verify=run.verify,
            worker=request.id,
            trace=os.environ.get(TRACE, ""),
            ranks=request.ranks,
            sizes=sizes if request.ranks > 1 else (),
            prompts_first=workforce.prompts_first,
            streamed=workforce.streamed,
        )

    return config


def _sizes(graph: TaskGraph) -> tuple[PassParams | TileParams, ...]:
    """One pass and one tile of each size and guider of the job."""
    found: dict[object, PassParams | TileParams] = {}
    for task in graph.tasks.values():
        run = task.params
        if isinstance(run, TileParams):
            placed = (len(run.tile.span), run.tile.anchors, run.tile.slots, run.guides)
            found.setdefault((run.width, run.height, placed, run.attention_mode), run)
        if isinstance(run, PassParams) and run.sampling.denoises:
            span = run.span
            latents = (run.width, run.height, span.sampled, span.overlap - run.replaced)
            made = run.retake and (run.retake.picture, run.retake.sound)
            beside = (run.guides, run.references, made, run.slots, bool(run.keyframes))
            how = (run.sampling.cfg, run.sampling.guider, beside, run.attention_mode, run.audio_mode)
            found.setdefault((latents, how, run.upsampling is None), run)
    return tuple(found.values())
