"""What farm plan answers: rows of stages and topologies, and all of it together."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from farm.state.voids import Void
from farm.topology.ranks import RankRow
from jobs.frames import Joint
from jobs.planning.summary import ChunkRow, PassRow, VideoRow, take_row
from jobs.tasks.retention import DiskEstimate
from jobs.tasks.task import Stage, TaskGraph
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.topology.lora_sets import LoraSets
    from farm.topology.search import Candidate, Found
    from jobs.planning.planned import Plan
    from jobs.tasks.topology import Topology

HOUR_S = 3600.0


MOST_OPTIONS = 8


MOST_SETS = 12


NEARLY = 1.05
"""By how much a makespan may be longer and still be mentioned, where it saves GPU-hours."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """One stage: its tasks, those left to do, and their expected work in seconds on one worker."""

    stage: str
    tasks: int
    left: int
    work_s: float


@dataclass(frozen=True, slots=True)
class TopologyRow:
    """One simulated topology. `bound_s` is what no schedule can beat, `limit` what takes that long.

    `gpu_hours` counts GPUs held from start to end, idle ones too; `cost` is in the currency of the request.
    """

    topology: str
    gpus: float
    makespan_s: float
    bound_s: float
    limit: str
    gpu_hours: float
    cost: float | None
    exchanges_models: bool


@dataclass(frozen=True, slots=True)
class TakesRow:
    """A shot with several takes. Those that are not in the film are `left` tasks more, which take `work_s`
    seconds on one worker."""

    video: str
    shot: str
    takes: int
    picked: int
    left: int
    work_s: float

    @property
    def said(self) -> str:
        """`takes: 3 of pier, take 1 is in dawn; the others are 12 tasks to do, 80.0 s of work`."""
        others = f"the others are {amount(self.left, 'task')} to do, {self.work_s:.1f} s of work"
        return f"takes: {self.takes} of {self.shot}, take {self.picked} is in {self.video}; {others}"


@dataclass(frozen=True, slots=True)
class LoraSetRow:
    """A set of LoRAs that passes run with, and of how many shots and retakes."""

    loras: str
    shots: int
    retakes: int

    @property
    def said(self) -> str:
        """`anna.safetensors 0.8 in 4 shots`."""
        counts = ((self.shots, "shot"), (self.retakes, "retake"))
        return f"{self.loras} in {' and '.join(amount(count, noun) for count, noun in counts if count)}"


@dataclass(frozen=True, slots=True)
class LorasRow:
    """The sets of LoRAs of a job that has several. A worker goes from one to another in `merge_s` seconds;
    on the winning topology that happens `changes` times, which takes `changing_s` of the workers' time."""

    sets: tuple[LoraSetRow, ...]
    merge_s: float
    changes: int
    changing_s: float

    @property
    def said(self) -> Iterator[str]:
        """`LoRAs: anna.safetensors 0.8 in 4 shots; no LoRA in 2 shots`, and what going from one to another
        takes."""
        listed = [row.said for row in self.sets[:MOST_SETS]]
        more = len(self.sets) - MOST_SETS
        yield f"LoRAs: {'; '.join([*listed, *([f'{more} more sets'] if more > 0 else [])])}"
        takes = f"{self.changing_s:.1f} s of the workers' time"
        yield f"another set is merged in {self.merge_s:.1f} s: {amount(self.changes, 'time')}, {takes}"


@dataclass(frozen=True, slots=True)
class PlanReport:
    """Everything `farm plan` prints. `options` are simulated topologies: the winner, the one that is nearly
    as fast for the fewest GPU-hours, then the fastest others.

    `times_from` says where stage times come from: measured on a device, or known of one H200; where
    `times_borrowed`, they are those of another model or device. `memory` says whether the models were held
    against that of a GPU, `models` where their sizes come from, if not from files alone. `chain_s` is what
    the longest chain takes by what chunks of a second pass share, the planned `joint` first. `voids` says
    what would have results made anew, by cause, `locked` counts the tasks that are kept in spite of it.
    `loras` is None where all passes run with the same. `ranks` are those of the winner's gangs.
    """

    job: str
    recipe: str | None
    videos: tuple[VideoRow, ...]
    chunks: tuple[ChunkRow, ...]
    passes: tuple[PassRow, ...]
    stages: tuple[StageRow, ...]
    takes: tuple[TakesRow, ...]
    disk: DiskEstimate
    gpus: int
    times_from: str
    times_borrowed: bool
    memory: str
    models: str
    topology: str
    makespan_s: float
    reason: str
    options: tuple[TopologyRow, ...]
    chain_s: dict[Joint, float]
    warnings: tuple[str, ...] = ()
    voids: tuple[Void, ...] = ()
    locked: int = 0
    loras: LorasRow | None = None
    ranks: tuple[RankRow, ...] = ()


def lora_rows(sets: LoraSets, plan: Plan, graph: TaskGraph, found: Found | None) -> LorasRow | None:
    """The sets in the order of the film; None where there are not several. Takes are of their shot."""
    shots: dict[str, set[tuple[str, int, bool]]] = defaultdict(set)
    videos = {video.name: video for video in plan.videos}
    for task in graph.tasks.values():
        if named := sets.of(task):
            video = videos[task.video]
            remade = video.chunks[task.chunk].retake is not None
            shots[named].add((video.film, video.take.shot if video.take else task.shot, remade))
    if not shots:
        return None
    retakes = {named: sum(remade for _, _, remade in which) for named, which in shots.items()}
    rows = tuple(
        LoraSetRow(named, len(which) - retakes[named], retakes[named]) for named, which in shots.items()
    )
    changes, changing_s = (found.winner.changes, found.winner.changing_s) if found else (0, 0.0)
    return LorasRow(rows, round(sets.merge_s, 3), changes, round(changing_s, 3))


def takes_rows(plan: Plan, graph: TaskGraph, left: Iterable[str], duration_s: Any) -> Iterator[TakesRow]:
    """Each shot with takes. What a take has in common with the film is the film's."""
    work: dict[str, list[float]] = defaultdict(list)
    for task in (graph.tasks[name] for name in left):
        work[task.video].append(duration_s(task))
    rows = [(video, row) for video in plan.videos if (row := take_row(video)) is not None]
    for (film, shot), several in groupby(rows, key=lambda each: (each[1].video, each[1].shot)):
        takes = list(several)
        seconds = [each for video, _ in takes for each in work[video.name]]
        picked = next(row.number for _, row in takes if row.picked)
        yield TakesRow(film, shot, len(takes), picked, len(seconds), round(sum(seconds), 3))


def topology_rows(found: Found, gpu_hour_cost: float | None) -> tuple[TopologyRow, ...]:
    """The winner, the one that is nearly as fast for the fewest GPU-hours, then the fastest others."""
    winner, enough_s = found.winner, found.winner.makespan_s * NEARLY
    near = [candidate for candidate in found.simulated if candidate.makespan_s <= enough_s]
    thrifty = min(near, key=lambda candidate: candidate.topology.gpus * candidate.makespan_s)
    shown = list(dict.fromkeys(each.topology for each in (winner, thrifty, *found.simulated)))[:MOST_OPTIONS]
    by_topology = {candidate.topology: candidate for candidate in (*found.simulated, winner)}
    return tuple(_row(by_topology[topology], gpu_hour_cost) for topology in shown)


def _row(candidate: Candidate, gpu_hour_cost: float | None) -> TopologyRow:
    topology: Topology = candidate.topology
    gpu_hours = topology.gpus * candidate.makespan_s / HOUR_S
    return TopologyRow(
        topology=str(topology),
        gpus=topology.gpus,
        makespan_s=round(candidate.makespan_s, 3),
        bound_s=round(candidate.bound.seconds, 3),
        limit=str(candidate.bound),
        gpu_hours=round(gpu_hours, 6),
        cost=None if gpu_hour_cost is None else round(gpu_hours * gpu_hour_cost, 4),
        exchanges_models=candidate.exchanges,
    )


def stage_rows(graph: TaskGraph, left: Iterable[str], duration_s: Any) -> tuple[StageRow, ...]:
    total: Counter[Stage] = Counter(task.stage for task in graph.tasks.values())
    rest = [graph.tasks[name] for name in left]
    todo = Counter(task.stage for task in rest)
    work: dict[Stage, float] = dict.fromkeys(Stage, 0.0)
    for task in rest:
        work[task.stage] += duration_s(task)
    return tuple(
        StageRow(stage.value, total[stage], todo[stage], round(work[stage], 3))
        for stage in Stage
        if total[stage]
    )
