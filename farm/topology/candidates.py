"""Topologies of a machine: one worker per GPU, or stages apart; and what fits on its GPUs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from operator import mul
from types import MappingProxyType

from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, SHARED_STAGES, Machine, Pool, Topology
from jobs.weights.use import TEXT_ENCODER

_ALONE: Mapping[int, float] = MappingProxyType({1: 1.0})
_MORE = (1, 3)
"""Workers that the pool with the least work gets beyond its share."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """Device memory. `weights_gib` gives, by stage, the models it runs on and their sizes; a model that two
    stages name is loaded once. `working_gib` is the peak beside the weights, `device_gib` what one GPU has.
    Prompts are encoded before anything else where the text encoder has no room beside the rest: the other
    models wait for it, and it does not come back.

    `load_gib_per_s` is how fast a model comes from host memory, where a worker has to exchange them.
    `whole_decode_gib` is what a decode needs that does not fit on a GPU even alone and is done in tiles
    there, which takes what there is; 0 where it fits. `gathered_gib` is what each rank of a gang needs beyond
    that where the ranks share a decode.

    `streamed` are the models that fit on a GPU in no other way than with their blocks in host memory, by what
    comes over for each forward; `weights_gib` has what is on the GPU. `caveat` says what is not reckoned.
    """

    device_gib: float
    weights_gib: Mapping[Stage, Mapping[str, float]]
    working_gib: Mapping[Stage, float] = field(default_factory=dict)
    load_gib_per_s: float = 4.0
    whole_decode_gib: float = 0.0
    gathered_gib: float = 0.0
    streamed: Mapping[str, float] = field(default_factory=dict)
    caveat: str = ""

    def together_gib(self, stages: Iterable[Stage], ranks: int = 1) -> float:
        """What a worker, or each rank of a gang, needs that keeps the models of all its stages, the text
        encoder as long as there are prompts: the larger of that phase and of what follows."""
        hosted = list(stages)
        first = [stage for stage in hosted if stage is Stage.ENCODE]
        return max(self._held_gib(first, ranks), self._held_gib(hosted, ranks, without=TEXT_ENCODER))

    def at_once_gib(self, stages: Iterable[Stage], ranks: int = 1) -> float:
        """What a worker, or each rank of a gang, needs that keeps the text encoder, too, beside the rest."""
        return self._held_gib(list(stages), ranks)

    def exchanging_gib(self, stages: Iterable[Stage], ranks: int = 1) -> float:
        """What a worker needs that keeps the models of one stage at a time."""
        return max((self.together_gib((stage,), ranks) for stage in stages), default=0.0)

    def need_said(self, stage: Stage) -> str:
        """`sample alone needs 30 GiB`, with what was done to make it as little."""
        streams = not self.streamed.keys().isdisjoint(self.weights_gib.get(stage, {}))
        how = " with blocks in host memory" if streams else ""
        return f"{stage} alone needs {self.together_gib((stage,)):.0f} GiB{how}"

    def swap_s(self) -> dict[str, float]:
        """Seconds to load each model, by name."""
        sizes = {name: size for models in self.weights_gib.values() for name, size in models.items()}
        return {name: size / self.load_gib_per_s for name, size in sizes.items()}

    def _held_gib(self, stages: Sequence[Stage], ranks: int, without: str = "") -> float:
        """All models of these stages but one, and the largest peak beside them."""
        models = {name: size for stage in stages for name, size in self.weights_gib.get(stage, {}).items()}
        models.pop(without, None)
        return sum(models.values()) + max((self._peak_gib(stage, ranks) for stage in stages), default=0.0)

    def _peak_gib(self, stage: Stage, ranks: int) -> float:
        """Beside the models."""
        gathered = self.gathered_gib if ranks > 1 and stage is Stage.DECODE else 0.0
        return self.working_gib.get(stage, 0.0) + gathered


def layouts(
    work_s: Mapping[Stage, float],
    gpus: int,
    speeds: Mapping[int, float] = _ALONE,
    machine: Machine | None = None,
) -> Iterator[Topology]:
    """Topologies on `gpus` GPUs for a job's seconds of work by stage: one worker per GPU first, then every
    way to deal the stages into pools, the workers of each of every number of ranks in `speeds`, which says
    how many times as fast as one they sample. A pool has as many workers as its work asks for, or some more
    where that is least: the ends of films come at once. All workers find room on the nodes of `machine`;
    without one, all GPUs are one node's."""
    machine = machine or Machine(gpus)
    segments = Pool(frozenset({Stage.SEGMENT}), 1, 0.0)
    for parts in _partitions([stage for stage in GPU_STAGES if stage in work_s]):
        hosted = [frozenset(GPU_STAGES)] if len(parts) == 1 else parts
        for ranks in product(*(_ALONE if part.isdisjoint(SHARED_STAGES) else speeds for part in hosted)):
            sized = list(zip(hosted, ranks, strict=True))
            shares = [_share_s(work_s, part, speeds[size]) for part, size in sized]
            for counts in _counts(shares, ranks, gpus, machine):
                pools = (Pool(part, n, ranks=size) for (part, size), n in zip(sized, counts, strict=True))
                yield Topology((*pools, segments))


def _share_s(work_s: Mapping[Stage, float], stages: Iterable[Stage], speed: float) -> float:
    """The work of these stages for a worker that samples `speed` times as fast."""
    return sum(work_s.get(stage, 0.0) / (speed if stage in SHARED_STAGES else 1.0) for stage in stages)


def _counts(
    shares: Sequence[float], ranks: Sequence[int], gpus: int, machine: Machine
) -> Iterator[tuple[int, ...]]:
    """Workers of those `ranks` for pools with that much work each, at least one for every pool, as many as
    the nodes hold."""

    def room(counts: Sequence[int]) -> bool:
        return sum(map(mul, counts, ranks)) <= gpus and machine.packs(_by_size(ranks, counts))

    if not room([1] * len(ranks)):
        return
    asked = list(map(mul, shares, ranks))
    each = (gpus - sum(ranks)) / (sum(asked) or 1.0)
    counts = [max(1, int(share * each) // size) for share, size in zip(asked, ranks, strict=True)]
    while not room(counts):
        counts[max((at for at, n in enumerate(counts) if n > 1), key=ranks.__getitem__)] -= 1
    while more := [at for at in range(len(ranks)) if room(_moved(counts, {at: 1}))]:
        counts[max(more, key=lambda at: shares[at] / counts[at])] += 1
    yield tuple(counts)
    least, most = (pick(range(len(shares)), key=shares.__getitem__, default=0) for pick in (min, max))
    for fewer in _MORE if least != most else ():
        gained = fewer * ranks[most] // ranks[least]
        if gained and counts[most] > fewer:
            moved = _moved(counts, {least: gained, most: -fewer})
            if room(moved):
                yield tuple(moved)


def _moved(counts: Sequence[int], by: Mapping[int, int]) -> list[int]:
    return [count + by.get(at, 0) for at, count in enumerate(counts)]


def _by_size(ranks: Sequence[int], counts: Sequence[int]) -> dict[int, int]:
    """Workers by their number of ranks."""
    found: dict[int, int] = {}
    for size, count in zip(ranks, counts, strict=True):
        found[size] = found.get(size, 0) + count
    return found


def _partitions(stages: list[Stage]) -> Iterator[list[frozenset[Stage]]]:
    """Every way to deal the stages into pools, the monolith first."""
    if not stages:
        yield []
        return
    first, *others = stages
    for parts in _partitions(others):
        for at, part in enumerate(parts):
            yield [part | {first}, *parts[:at], *parts[at + 1 :]]
        yield [frozenset({first}), *parts]


def fitting(
    topologies: Iterable[Topology], stages: Collection[Stage], footprint: Footprint | None
) -> Iterator[tuple[Topology, bool]]:
    """Those that fit the devices with a job's stages, each with whether a worker has to exchange models."""
    for topology in topologies:
        if footprint is None:
            yield topology, False
        elif _all_fit(topology, stages, footprint, footprint.exchanging_gib):
            yield topology, not _all_fit(topology, stages, footprint, footprint.together_gib)


def prompts_first(topology: Topology, stages: Collection[Stage], footprint: Footprint | None) -> bool:
    """Whether the text encoder has no room beside the other models of a worker."""
    shared = [pool for pool in topology.pools if Stage.ENCODE in pool.stages.intersection(stages)]
    return footprint is not None and not _all_fit(
        Topology(tuple(shared)), stages, footprint, footprint.at_once_gib
    )


def _all_fit(
    topology: Topology,
    stages: Collection[Stage],
    footprint: Footprint,
    need_gib: Callable[[Collection[Stage], int], float],
) -> bool:
    """Whether each worker has on its device what it needs for a job's stages."""
    return all(
        need_gib(pool.stages.intersection(stages), pool.ranks) <= pool.gpus * footprint.device_gib
        for pool in topology.pools
        if pool.gpus
    )
