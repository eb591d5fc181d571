"""The best topology for a job on a machine: `run.topology: auto`.

Every candidate has a bound that costs microseconds. The simulator runs them, the most promising first, until
no bound is left below the best makespan found: the answer is that of an exhaustive search, for a fraction of
the work.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby

from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.simulator.simulate import SimulationConfig, simulate
from farm.topology.bound import Bound, JobFacts, job_facts
from farm.topology.candidates import Footprint, Needs, candidates, fitting
from farm.topology.segment_workers import staffed
from jobs.errors import CapacityError
from jobs.tasks.topology import MONO, Machine, Topology

_TIE = 1.005
"""Makespans this close count as equal; then fewer GPUs win."""

_HARDLY = 1.001
"""A candidate that could be faster by no more than this is not simulated."""

_WORTH_HALF = 1.02
"""A makespan longer by this factor is taken where half the GPUs or fewer reach it."""

_LAST_TRIES = 2
"""Smaller topologies that are simulated even where the search has used up its events."""

_GROWTHS = (1.0, 1.05, 1.15, 1.3)
"""What the fewest workers that a bound allows are multiplied by, until the simulation agrees."""

_CHAIN_BOUND = 1.03


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Where the job runs. `footprint` None: everything fits on every GPU. `most_events` bounds the simulated
    events: past it, the best candidate so far is taken."""

    machine: Machine
    footprint: Footprint | None = None
    simulation: SimulationConfig = field(default_factory=SimulationConfig)
    most_events: int = 400_000


@dataclass(frozen=True, slots=True)
class Candidate:
    """A simulated topology. `exchanges`: its workers cannot hold all their models at once."""

    topology: Topology
    makespan_s: float
    bound: Bound
    exchanges: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """The winner, all that was simulated (fastest first), and why, in one sentence."""

    winner: Candidate
    simulated: tuple[Candidate, ...]
    reason: str


def find_topology(tasks: Iterable[ScheduledTask], config: SearchConfig) -> Found:
    """The topology with the shortest makespan; of equal ones the one with the fewest GPUs.

    Raises CapacityError when the machine has no GPU, or one stage alone does not fit on one.
    """
    return _Search(list(tasks), config).run()


class _Search:
    def __init__(self, tasks: Sequence[ScheduledTask], config: SearchConfig) -> None:
        self.config = config
        self.facts: JobFacts = job_facts(tasks)
        self.graph = ScheduleGraph(tasks)
        self.simulated: dict[Topology, Candidate] = {}

    def run(self) -> Found:
        ranked = self._ranked()
        kinds = ([r for r in ranked if _is_mono(r[1])], [r for r in ranked if not _is_mono(r[1])])
        best = min((self._best_of(kind) for kind in kinds if kind), key=lambda found: found.makespan_s)
        winner = self._leanest(best)
        found = sorted(self.simulated.values(), key=lambda candidate: candidate.makespan_s)
        return Found(winner, tuple(found), self._reason(winner))

    def _ranked(self) -> list[tuple[Bound, Topology, bool]]:
        """Candidates that fit, the lowest bound first; among equals the fewest pools.

        Workers that exchange models are the last resort, for a machine on which nothing else fits.
        """
        work_s = {stage: facts.work_s for stage, facts in self.facts.stages.items()}
        footprint, machine = self.config.footprint, self.config.machine
        together = footprint is None or footprint.together_gib(work_s) <= footprint.device_gib
        every = candidates(Needs(work_s, encode_with_sample=together), machine)
        fit = fitting(map(self._staffed, every), work_s, footprint)
        ranked = [(self.facts.bound(topology), topology, exchanges) for topology, exchanges in fit]
        if not ranked:
            raise CapacityError(self._nothing_fits())
        if not all(exchanges for _, _, exchanges in ranked):
            ranked = [each for each in ranked if not each[2]]
        return sorted(ranked, key=lambda each: (round(each[0].seconds, 6), len(each[1].pools)))

    def _best_of(self, ranked: list[tuple[Bound, Topology, bool]]) -> Candidate:
        """The fastest of some candidates. What its bound keeps from being faster is not simulated."""
        best: Candidate | None = None
        for bound, topology, exchanges in ranked:
            if best is not None and (bound.seconds * _HARDLY >= best.makespan_s or self._spent()):
                continue
            candidate = self._simulate(topology, exchanges)
            if best is None or candidate.makespan_s < best.makespan_s:
                best = candidate
        assert best is not None
        return best

    def _leanest(self, best: Candidate) -> Candidate:
        """As fast with the fewest GPUs; or hardly slower with half of those."""
        lean = self._within(best.makespan_s * _TIE, best.topology.gpus - 1) or best
        return self._within(best.makespan_s * _WORTH_HALF, lean.topology.gpus / 2) or lean

    def _within(self, allowed_s: float, most_gpus: float) -> Candidate | None:
        """The fastest of the candidates with the fewest GPUs, at most `most_gpus`, that take no
        longer than `allowed_s`."""
        near = [c for c in self.simulated.values() if c.makespan_s <= allowed_s and not c.exchanges]
        # In the order of their finding: a set of topologies has another one in every process.
        smaller = dict.fromkeys(each for c in near for each in self._smaller(c.topology, allowed_s))
        tries = _LAST_TRIES
        for gpus, equals in groupby(sorted(smaller, key=_gpus), key=_gpus):
            if gpus > most_gpus:
                break
            found = []
            for topology in equals:
                if self._spent() and (tries := tries - 1) < 0:
                    return None
                candidate = self._simulate(topology, exchanges=False)
                found += [candidate] if candidate.makespan_s <= allowed_s else []
            if found:
                return min(found, key=lambda candidate: candidate.makespan_s)
        return None

    def _smaller(self, topology: Topology, allowed_s: float) -> Iterator[Topology]:
        """The fewest workers that the bound allows, and some more of each."""
        fewest = self._shrunk(topology, allowed_s)
        for growth in _GROWTHS:
            counts = zip(fewest.pools, topology.pools, strict=True)
            pools = (
                replace(few, count=min(all_.count, math.ceil(few.count * growth))) for few, all_ in counts
            )
            yield self._staffed(Topology(tuple(pools)))

    def _shrunk(self, topology: Topology, allowed_s: float) -> Topology:
        """The fewest workers per pool with which the bound still allows that makespan."""
        for at, pool in enumerate(topology.pools):
            if pool.gpus:
                allows = partial(self._allows, topology, at, allowed_s)
                fewest = bisect_left(range(1, pool.count), True, key=allows) + 1
                topology = _with_count(topology, at, fewest)
        return topology

    def _allows(self, topology: Topology, at: int, allowed_s: float, count: int) -> bool:
        """Whether the bound allows that makespan with `count` workers in one pool; more never take longer."""
        return self.facts.bound(_with_count(topology, at, count)).seconds <= allowed_s

    def _staffed(self, topology: Topology) -> Topology:
        return staffed(topology, self.config.machine, self.facts)

    def _simulate(self, topology: Topology, exchanges: bool) -> Candidate:
        if topology not in self.simulated:
            config = self.config.simulation
            if exchanges and self.config.footprint is not None:
                scheduler = replace(config.scheduler, swap_s=self.config.footprint.swap_s())
                config = replace(config, scheduler=scheduler)
            makespan_s = simulate(self.graph, topology, config).makespan_s
            bound = self.facts.bound(topology)
            self.simulated[topology] = Candidate(topology, makespan_s, bound, exchanges)
        return self.simulated[topology]

    def _spent(self) -> bool:
        return len(self.simulated) * len(self.graph) > self.config.most_events

    # -- why -----------------------------------------------------------------------------------------------

    def _reason(self, winner: Candidate) -> str:
        gpus, chain_s = self.config.machine.gpus, self.facts.chain.seconds
        if not winner.topology.gpus:
            return f"only segments are left, which take {winner.makespan_s:.1f} s and no GPU"
        said = f"{_gpu_text(winner.topology)} takes {winner.makespan_s:.1f} s"
        if winner.makespan_s <= _CHAIN_BOUND * chain_s:
            said += f", hardly more than its longest chain alone ({chain_s:.1f} s)"
        if winner.topology.gpus < gpus:
            said += f"; {winner.topology.gpus:g} of {gpus:g} GPUs suffice"
        fastest = min(self.simulated.values(), key=lambda candidate: candidate.makespan_s)
        if winner.makespan_s > _TIE * fastest.makespan_s:
            said += f" and {_gpu_text(fastest.topology)} would take {fastest.makespan_s:.1f} s"
        against = self._against(winner)
        return f"{said}; {against}" if against else said

    def _against(self, winner: Candidate) -> str:
        others = [c for c in self.simulated.values() if _is_mono(c.topology) != _is_mono(winner.topology)]
        rival = min(others, key=lambda candidate: candidate.makespan_s, default=None)
        if rival is None:
            return "" if _is_mono(winner.topology) else self._mono_does_not_fit()
        kind = "one worker per GPU" if _is_mono(rival.topology) else "the best split"
        exchanging = ", exchanging models" if rival.exchanges else ""
        return f"{kind} ({_gpu_text(rival.topology)}{exchanging}) takes {rival.makespan_s:.1f} s"

    def _mono_does_not_fit(self) -> str:
        footprint = self.config.footprint
        if footprint is None:
            return ""
        needed = footprint.together_gib(self.facts.stages)
        return (
            f"one worker per GPU does not fit, as all models together need {needed:.0f} GiB "
            f"and a GPU has {footprint.device_gib:.0f}"
        )

    def _nothing_fits(self) -> str:
        footprint, gpus = self.config.footprint, self.config.machine.gpus
        if gpus < 1 or footprint is None:
            return f"there are {gpus:g} GPUs and the job needs one: raise `--gpus`, or name a topology"
        worst = max(self.facts.stages, key=lambda stage: footprint.together_gib((stage,)))
        return (
            f"{worst} alone needs {footprint.together_gib((worst,)):.0f} GiB and a GPU has "
            f"{footprint.device_gib:.0f}; use larger GPUs, a smaller model or a smaller size. A topology "
            "that is named (`-t mono`) is not checked"
        )


def _with_count(topology: Topology, at: int, count: int) -> Topology:
    pools = list(topology.pools)
    pools[at] = replace(pools[at], count=count)
    return Topology(tuple(pools))


def _gpus(topology: Topology) -> float:
    return topology.gpus


def _is_mono(topology: Topology) -> bool:
    return any(pool.name == MONO for pool in topology.pools)


def _gpu_text(topology: Topology) -> str:
    """The topology without its CPU pools."""
    return str(Topology(tuple(pool for pool in topology.pools if pool.gpus)))
