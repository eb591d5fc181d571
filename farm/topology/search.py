"""The topology of `run.topology: auto`: one worker on each GPU that the job keeps busy.

A worker that hosts every stage can do whatever is next. No split of stages that fit on a GPU together beats
it (docs/topology.md); where memory forces a split, pools get workers by their work. Simulation says how few
GPUs are as fast, and where chains leave GPUs idle, whether gangs of a size that was measured are faster.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.simulator.simulate import SimulationConfig, simulate
from farm.topology.bound import Bound, JobFacts, job_facts, quickened
from farm.topology.candidates import Footprint, fitting, layouts, prompts_first
from farm.topology.segment_workers import staffed
from jobs.errors import CapacityError
from jobs.tasks.topology import MONO, SHARED_STAGES, Machine, Topology
from jobs.weights.use import TRANSFORMER

if TYPE_CHECKING:
    from farm.simulator.timeline import SimulatedTimeline

_WORTH = 1.01
"""By how much a makespan may be longer where fewer GPUs reach it."""

_GROWTHS = (1.0, 1.05, 1.15, 1.3)
"""What the fewest GPUs that a bound allows are multiplied by, until the simulation agrees."""

_GANGS_WORTH = 1.03
"""How many times as fast a topology with gangs has to be: their speed may be that of another size."""

_LIKELY = 6
"""Topologies that are simulated for a number of GPUs, those with the lowest bounds."""

_CHAIN_BOUND = 1.03


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Where the job runs. `footprint` None: everything fits on every GPU. `gangs` are the numbers of ranks
    whose speed is known."""

    machine: Machine
    footprint: Footprint | None = None
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    gangs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A simulated topology. `exchanges`: its workers cannot hold all their models at once. `changes` counts
    how often a worker loads another model or set of LoRAs, which takes `changing_s` of the workers' time."""

    topology: Topology
    makespan_s: float
    bound: Bound
    exchanges: bool = False
    changes: int = 0
    changing_s: float = 0.0

    @classmethod
    def of(cls, run: SimulatedTimeline, bound: Bound, exchanges: bool = False) -> Candidate:
        return cls(run.topology, run.makespan_s, bound, exchanges, run.changes, run.changing_s)


@dataclass(frozen=True, slots=True)
class Found:
    """The winner, all that was simulated (fastest first), and why, in one sentence."""

    winner: Candidate
    simulated: tuple[Candidate, ...]
    reason: str


def find_topology(tasks: Iterable[ScheduledTask], config: SearchConfig) -> Found:
    """The topology that the rule gives, on the fewest GPUs on which it is as fast.

    Raises CapacityError when the machine has no GPU, or one stage alone does not fit on one.
    """
    return _Rule(list(tasks), config).found()


class _Rule:
    def __init__(self, tasks: Sequence[ScheduledTask], config: SearchConfig) -> None:
        self.config, self.tasks = config, tasks
        self.facts: JobFacts = job_facts(tasks)
        self.graph = ScheduleGraph(tasks)
        self.simulated: dict[Topology, Candidate] = {}
        self.quickened = {(1,) * len(SHARED_STAGES): self.facts}
        self.sizes: tuple[int, ...] = (1,)
        """Numbers of ranks that workers may have."""

    def found(self) -> Found:
        machine, at_once = self.config.machine, self.facts.at_once or 1
        alone = fastest = self._on(min(int(machine.gpus), at_once))
        if not self._streams:
            self.sizes += tuple(size for size in self.config.gangs if size <= machine.node_gpus)
        ganged = self._on(min(int(machine.gpus), at_once * max(self.sizes)))
        if ganged.topology.gangs and ganged.makespan_s * _GANGS_WORTH <= alone.makespan_s:
            fastest = ganged
        else:
            self.sizes = (1,)
        winner = self._leanest(fastest)
        every = sorted(self.simulated.values(), key=lambda candidate: candidate.makespan_s)
        return Found(winner, tuple(every), self._reason(winner, fastest, alone))

    @property
    def _streams(self) -> bool:
        """Then each rank of a gang would bring all blocks over, through links that ranks may share: how fast
        that is was not measured."""
        return self.config.footprint is not None and TRANSFORMER in self.config.footprint.streamed

    def _leanest(self, fastest: Candidate) -> Candidate:
        """The fewest GPUs that take hardly longer: those that the bound allows, or some more."""
        allowed_s, most = _WORTH * fastest.makespan_s, int(fastest.topology.gpus)
        counts = range(1, most)
        fewest = 1 + bisect_left(counts, True, key=lambda gpus: self._allows(gpus, allowed_s))
        for gpus in dict.fromkeys(math.ceil(fewest * growth) for growth in _GROWTHS):
            if gpus < most:
                candidate = self._on(gpus)
                if candidate.makespan_s <= allowed_s and candidate.exchanges == fastest.exchanges:
                    return candidate
        return fastest

    def _allows(self, gpus: int, allowed_s: float) -> bool:
        fit = self._fitting(gpus)
        return bool(fit) and self._rank(fit[0])[0] <= allowed_s

    def _on(self, gpus: int) -> Candidate:
        """The fastest of what fits on `gpus` GPUs. Raises CapacityError where nothing does."""
        fit = self._fitting(gpus)
        if not fit:
            raise CapacityError(self._nothing_fits())
        return min((self._simulate(*each) for each in fit), key=lambda candidate: candidate.makespan_s)

    def _fitting(self, gpus: int) -> list[tuple[Topology, bool]]:
        """One worker per GPU where all models fit together and gangs are not asked for, else what has the
        lowest bounds; and where none fits, workers that exchange models."""
        work_s = {stage: facts.work_s for stage, facts in self.facts.stages.items()}
        speeds = {size: self.config.simulation.gang_speed(size) for size in self.sizes}
        every = layouts(work_s, gpus, speeds, self.config.machine)
        manned = (staffed(each, self.config.machine, self._facts(each)) for each in every)
        fit = list(fitting(manned, work_s, self.config.footprint))
        together = [each for each in fit if not each[1]] or [each for each in fit if not each[0].gangs]
        if together and len(speeds) == 1 and _is_mono(together[0][0]) and not together[0][1]:
            return together[:1]
        return sorted(together, key=self._rank)[:_LIKELY]

    def _rank(self, fit: tuple[Topology, bool]) -> tuple[float, bool, int]:
        topology = fit[0]
        bound_s = round(self._facts(topology).bound(topology).seconds, 6)
        return bound_s, self._prompts_first(topology), len(topology.pools)

    def _prompts_first(self, topology: Topology) -> bool:
        return prompts_first(topology, self.facts.stages, self.config.footprint)

    def _facts(self, topology: Topology) -> JobFacts:
        """Of the job as it is on these workers: gangs are faster."""
        ranks = tuple(map(topology.ranks, SHARED_STAGES))
        if ranks not in self.quickened:
            tasks = quickened(self.tasks, topology, self.config.simulation.gang_speed)
            self.quickened[ranks] = job_facts(tasks)
        return self.quickened[ranks]

    def _simulate(self, topology: Topology, exchanges: bool) -> Candidate:
        if topology not in self.simulated:
            config, footprint = self.config.simulation, self.config.footprint
            scheduler = replace(config.scheduler, prompts_first=self._prompts_first(topology))
            if exchanges and footprint is not None:
                scheduler = replace(scheduler, swap_s={**scheduler.swap_s, **footprint.swap_s()})
            timeline = simulate(self.graph, topology, replace(config, scheduler=scheduler))
            bound = self._facts(topology).bound(topology)
            self.simulated[topology] = Candidate.of(timeline, bound, exchanges)
        return self.simulated[topology]

    # -- why -----------------------------------------------------------------------------------------------

    def _reason(self, winner: Candidate, fastest: Candidate, alone: Candidate) -> str:
        gpus, chain_s = self.config.machine.gpus, self.facts.chain.seconds
        if not winner.topology.gpus:
            return f"only segments are left, which take {winner.makespan_s:.1f} s and no GPU"
        said = f"{_gpu_text(winner.topology)} takes {winner.makespan_s:.1f} s"
        if not winner.topology.gangs and winner.makespan_s <= _CHAIN_BOUND * chain_s:
            said += f", hardly more than its longest chain alone ({chain_s:.1f} s)"
        if winner.topology.gpus < gpus:
            said += f"; {winner.topology.gpus:g} of {gpus:g} GPUs suffice"
        if winner.topology.gangs:
            rival = f"{_gpu_text(alone.topology)} takes {alone.makespan_s:.1f} s"
            return f"{said}; {rival}, as its chains leave GPUs idle, which gangs put to use"
        if winner is not fastest:
            said += f" and {_gpu_text(fastest.topology)} would take {fastest.makespan_s:.1f} s"
        footprint = self.config.footprint
        if footprint is None or _is_mono(winner.topology):
            return said
        return (
            f"{said}; one worker per GPU does not fit, as all models together need "
            f"{footprint.together_gib(self.facts.stages):.0f} GiB and a GPU has {footprint.device_gib:.0f}"
        )

    def _nothing_fits(self) -> str:
        footprint, gpus = self.config.footprint, self.config.machine.gpus
        if gpus < 1 or footprint is None:
            return f"there are {gpus:g} GPUs and the job needs one: raise `--gpus`, or name a topology"
        worst = max(self.facts.stages, key=lambda stage: footprint.together_gib((stage,)))
        return (
            f"{footprint.need_said(worst)} and a GPU has {footprint.device_gib:.0f}; use larger GPUs, a "
            "smaller model or a smaller size. "
            f"{f'{footprint.caveat}. ' if footprint.caveat else ''}A topology that is named (`-t mono`) is "
            "not checked"
        )


def _is_mono(topology: Topology) -> bool:
    return any(pool.name == MONO for pool in topology.pools)


def _gpu_text(topology: Topology) -> str:
    """The topology without its CPU pools."""
    return str(Topology(tuple(pool for pool in topology.pools if pool.gpus)))
