"""What `farm plan` says of the ranks of a gang: where each computes, what it does, and the memory that it
needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.topology.memory import decodes_by_diffusion, engine_footprint
from jobs.planning.params import SMALL_TILES, DecodeParams
from jobs.tasks.task import Stage, StageTask
from jobs.tasks.topology import SHARED_STAGES

if TYPE_CHECKING:
    from farm.topology.candidates import Footprint
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.topology import Topology

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class RankRow:
    """One rank of each gang of a `pool`, written as in the topology: its `device`, the `stages` that it takes
    part in, and the memory that it needs for them there, GiB; None where that is not reckoned."""

    pool: str
    rank: int
    device: str
    stages: tuple[str, ...]
    memory_gib: float | None

    @property
    def said(self) -> str:
        """`   rank 1 of mono=1x2: H200, 28.7 GiB, shares sample, upscale`."""
        needs = "memory unknown" if self.memory_gib is None else f"{self.memory_gib:.1f} GiB"
        does = f"{'shares ' if self.rank else ''}{', '.join(self.stages)}"
        return f"   rank {self.rank} of {self.pool}: {self.device}, {needs}, {does}"


def rank_rows(
    topology: Topology,
    engine: EngineConfig,
    tasks: Collection[StageTask],
    device: str,
    device_gib: float | None = None,
) -> Iterator[RankRow]:
    """Rows of all ranks, gang after gang; none where no pool has gangs. `device` is what a worker with a GPU
    has, with `device_gib` of memory: a decode that does not fit there whole is done in tiles."""
    if not topology.gangs:
        return
    footprint = engine_footprint(engine, tasks, float("inf") if device_gib is None else device_gib)
    tiled = footprint is not None and footprint.whole_decode_gib > 0
    used = {task.stage for task in tasks}
    shared = {*SHARED_STAGES, *({Stage.DECODE} if _decodes_shared(engine, tasks, tiled) else ())}
    for pool in topology.gangs:
        for rank in range(pool.ranks):
            own = pool.stages & used & (shared if rank else used)
            yield _row(topology.text(pool), rank, device if pool.gpus else CPU, own, footprint, pool.ranks)


def _row(
    pool: str, rank: int, device: str, own: Collection[Stage], footprint: Footprint | None, ranks: int
) -> RankRow:
    needs = None if footprint is None or device == CPU else round(footprint.together_gib(own, ranks), 3)
    return RankRow(pool, rank, device, tuple(stage.value for stage in Stage if stage in own), needs)


def _decodes_shared(engine: EngineConfig, tasks: Iterable[StageTask], tiled: bool) -> bool:
    """As the engine has it: in more tiles than one, or by the diffusion decoder. `tiled`: decodes that are
    whole in the plan are done in tiles."""
    decodes = [task.params for task in tasks if isinstance(task.params, DecodeParams)]
    kept = [params for params in decodes if params.window.keep]
    return bool(kept) and (decodes_by_diffusion(engine) or any(_in_tiles(params, tiled) for params in kept))


def _in_tiles(params: DecodeParams, tiled: bool) -> bool:
    tiling = params.tiling or (SMALL_TILES if tiled else None)
    return tiling is not None and len(tiling.spans(len(params.window.context))) > 1
