"""Topologies worth simulating on a machine: monoliths, every split, every pair of stages that shares."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from jobs.tasks.task import Stage
from jobs.tasks.topology import GPU_STAGES, Machine, Pool, Topology

_EVERY_SPLIT_UP_TO = 32
"""GPUs. Beyond, worker counts grow by a twentieth, and pools without a count of their own share by work."""

_GROWTH = 1.05
_AROUND = 2


@dataclass(frozen=True, slots=True)
class Footprint:
    """Device memory. `weights_gib` gives, by stage, the models it runs on and their sizes; a model that two
    stages name is loaded once. `working_gib` is the peak beside the weights, `device_gib` what one GPU has.

    `load_gib_per_s` is how fast a model comes from host memory, where a worker has to exchange them.
    `whole_decode_gib` is what a decode needs that does not fit on a GPU even alone and is done in tiles
    there, which takes what there is; 0 where it fits.
    """

    device_gib: float
    weights_gib: Mapping[Stage, Mapping[str, float]]
    working_gib: Mapping[Stage, float] = field(default_factory=dict)
    load_gib_per_s: float = 4.0
    whole_decode_gib: float = 0.0

    def together_gib(self, stages: Iterable[Stage]) -> float:
        """What a worker needs that keeps the models of all its stages."""
        hosted = list(stages)
        models = {name: size for stage in hosted for name, size in self.weights_gib.get(stage, {}).items()}
        return sum(models.values()) + self._working_gib(hosted)

    def exchanging_gib(self, stages: Iterable[Stage]) -> float:
        """What a worker needs that keeps the models of one stage at a time."""
        return max((self.together_gib((stage,)) for stage in stages), default=0.0)

    def swap_s(self) -> dict[str, float]:
        """Seconds to load each model, by name."""
        sizes = {name: size for models in self.weights_gib.values() for name, size in models.items()}
        return {name: size / self.load_gib_per_s for name, size in sizes.items()}

    def _working_gib(self, stages: Iterable[Stage]) -> float:
        return max((self.working_gib.get(stage, 0.0) for stage in stages), default=0.0)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a job asks of a topology: seconds of work by stage, and whether encode must live with sample.

    It usually does; where not all models fit on one device, encode may join any pool or have its own. A
    text encoder beside the transformer would take the room that lets sample and upscale share their workers.
    """

    work_s: Mapping[Stage, float]
    encode_with_sample: bool = True


def candidates(needs: Needs, machine: Machine) -> Iterator[Topology]:
    """Topologies that use all GPUs of the machine and host every stage that has work."""
    used = [stage for stage in GPU_STAGES if stage in needs.work_s]
    segments = Pool(frozenset({Stage.SEGMENT}), max(1, machine.segment_workers), 0.0)
    if not used:
        yield Topology((segments,))
        return
    for parts in _partitions(used):
        hosted = [frozenset(GPU_STAGES)] if len(parts) == 1 else parts
        if needs.encode_with_sample and not _lives_with_sample(hosted):
            continue
        shares = [sum(needs.work_s.get(stage, 0.0) for stage in part) for part in hosted]
        for counts in _splits(int(machine.gpus), hosted, shares):
            pools = (Pool(part, count) for part, count in zip(hosted, counts, strict=True))
            yield Topology((*pools, segments))


def _lives_with_sample(parts: list[frozenset[Stage]]) -> bool:
    apart = any(Stage.ENCODE in part and Stage.SAMPLE not in part for part in parts)
    return not (apart and any(Stage.SAMPLE in part for part in parts))


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


def _splits(gpus: int, parts: list[frozenset[Stage]], shares: list[float]) -> Iterator[tuple[int, ...]]:
    """Worker counts that add up to `gpus`, one per pool: all, or near the shares on large machines."""
    if len(shares) > gpus:
        return
    if len(shares) == 1:
        yield (gpus,)
        return
    for count in _counts(parts[0], gpus - len(shares) + 1, gpus * shares[0] / (sum(shares) or 1.0)):
        for others in _splits(gpus - count, parts[1:], shares[1:]):
            yield (count, *others)


def _counts(part: frozenset[Stage], most: int, wanted: float) -> list[int]:
    """Counts from 1 to `most`: all, or a growing series and those around the wanted one. Encoding by itself
    is little work: more GPUs than it wants would idle."""
    if most <= _EVERY_SPLIT_UP_TO:
        return list(range(1, most + 1))
    series = {round(_GROWTH**power) for power in range(int(math.log(most, _GROWTH)) + 1)}
    near = {round(wanted) + offset for offset in range(-_AROUND, _AROUND + 1)} | {1}
    counts = near if part == {Stage.ENCODE} else series | near
    return sorted(count for count in counts if 1 <= count <= most)


def fitting(
    topologies: Iterable[Topology], stages: Collection[Stage], footprint: Footprint | None
) -> Iterator[tuple[Topology, bool]]:
    """Those that fit the devices with a job's stages, each with whether a worker has to exchange models."""
    for topology in topologies:
        hosted = [(pool.stages.intersection(stages), pool.gpus) for pool in topology.pools if pool.gpus]
        if footprint is None:
            yield topology, False
        elif all(footprint.exchanging_gib(own) <= gpus * footprint.device_gib for own, gpus in hosted):
            together = (footprint.together_gib(own) <= gpus * footprint.device_gib for own, gpus in hosted)
            yield topology, not all(together)
