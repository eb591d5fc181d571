"""The task graph as the scheduler reads it: small numbers in flat arrays, a few dozen bytes per task.

A film of hours has half a million stage tasks; objects and dictionaries of them would fill the driver's
memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from jobs.planning.params import EncodeText
from jobs.tasks.task import Stage, StageTask, TaskGraph

STAGES: tuple[Stage, ...] = tuple(Stage)
"""Stages by number, upstream first."""

STAGE_NUMBER = {stage: number for number, stage in enumerate(STAGES)}
ENCODE, SAMPLE = STAGE_NUMBER[Stage.ENCODE], STAGE_NUMBER[Stage.SAMPLE]

KINDS: tuple[Stage, ...] = (*STAGES, Stage.DECODE, Stage.DECODE, Stage.UPSCALE)
"""The stage of each kind of task, by number: those of a kind say how long others of it take."""

KIND_NUMBER = {"model": len(STAGES), "pictures": len(STAGES) + 1, "steps": len(STAGES) + 2}
"""The kinds of tasks that do without what others of their stage have."""


@dataclass(frozen=True, slots=True)
class ScheduledTask:
    """What the scheduler knows of a stage task.

    `needs` are task ids; `chunk` counts within `video`; `duration_s` is an estimate on one worker,
    `payload_bytes` the size of the result (0 where it is delivered at once and burdens nobody); `resident`
    names the model it runs on, `without` is as of stage tasks; a `prompt` is read by the text encoder.
    """

    id: str
    stage: Stage
    needs: tuple[str, ...] = ()
    video: str = ""
    chunk: int = 0
    payload_bytes: int = 0
    duration_s: float = 1.0
    resident: str = ""
    without: str = ""
    prompt: bool = False


class Rows:
    """Lists of small integers, one after the other in one array: row `i` is `flat[start[i]:start[i + 1]]`."""

    __slots__ = ("flat", "start")

    def __init__(self, rows: Iterable[Sequence[int]]) -> None:
        self.flat = array("i")
        self.start = array("i", [0])
        for row in rows:
            self.flat.extend(row)
            self.start.append(len(self.flat))

    def __getitem__(self, row: int) -> array[int]:
        return self.flat[self.start[row] : self.start[row + 1]]

    def __len__(self) -> int:
        return len(self.start) - 1

    def inverted(self, count: int) -> Rows:
        """Row `j` of the result holds every `i` whose row holds `j`, ascending; `j < count`."""
        sizes = array("i", bytes(4 * count))
        for value in self.flat:
            sizes[value] += 1
        result = Rows(())
        for size in sizes:
            result.start.append(result.start[-1] + size)
        result.flat = array("i", bytes(4 * len(self.flat)))
        cursor = array("i", result.start[:-1])
        for row in range(len(self)):
            for at in range(self.start[row], self.start[row + 1]):
                value = self.flat[at]
                result.flat[cursor[value]] = row
                cursor[value] += 1
        return result


class ScheduleGraph:
    """Tasks by number, in plan order. Raises ValueError for a need that is unknown or stands after its task.

    `tail_s[i]` is the longest path from the start of task i to the end of the job. A task's *slot* is the
    chunk whose delivery waits for it: its own, or an earlier one where that chunk's tasks need it. Slots of a
    video are neighbours, in order.
    """

    def __init__(self, tasks: Iterable[ScheduledTask]) -> None:
        self.ids: list[str] = []
        self.number: dict[str, int] = {}
        self.stage = bytearray()
        self.kind = bytearray()
        self.prompt = bytearray()
        self.duration_s = array("d")
        self.payload_bytes = array("q")
        self.resident = array("i")
        self.residents: list[str] = []
        self.videos: list[str] = []
        video, chunk = array("i"), array("i")
        self.needs = Rows(self._read(tasks, video, chunk))
        self.dependents = self.needs.inverted(len(self.ids))
        self.tail_s = self._tails()
        self.chained = self._chained()
        self._lay_slots(video, chunk)

    def __len__(self) -> int:
        return len(self.ids)

    def ends_chain(self, task: int) -> bool:
        """Whether no task of the same stage needs it."""
        return all(self.stage[after] != self.stage[task] for after in self.dependents[task])

    def ends_video(self, task: int) -> bool:
        """Whether the last chunk's delivery waits for it."""
        slot, videos = self.slot[task], self.slot_video
        return slot + 1 == len(videos) or videos[slot + 1] != videos[slot]

    def _read(
        self, tasks: Iterable[ScheduledTask], video: array[int], chunk: array[int]
    ) -> Iterable[list[int]]:
        videos: dict[str, int] = {}
        residents: dict[str, int] = {}
        for number, task in enumerate(tasks):
            try:
                needs = sorted({self.number[need] for need in task.needs})
            except KeyError as missing:
                raise ValueError(f"{task.id} needs {missing}, which is not a task before it") from None
            self.ids.append(task.id)
            self.number[task.id] = number
            self.stage.append(STAGE_NUMBER[task.stage])
            self.kind.append(KIND_NUMBER.get(task.without, STAGE_NUMBER[task.stage]))
            self.prompt.append(task.prompt)
            self.duration_s.append(task.duration_s)
            self.payload_bytes.append(task.payload_bytes)
            self.resident.append(residents.setdefault(task.resident, len(residents)))
            video.append(videos.setdefault(task.video, len(videos)))
            chunk.append(task.chunk)
            yield needs
        self.videos = list(videos)
        self.residents = list(residents)

    def _tails(self) -> array[float]:
        tail = array("d", bytes(8 * len(self)))
        for task in range(len(self) - 1, -1, -1):
            after = max((tail[d] for d in self.dependents[task]), default=0.0)
            tail[task] = self.duration_s[task] + after
        return tail

    def _chained(self) -> frozenset[int]:
        """Stages of which a task needs another of the same stage: a video keeps one of their workers busy."""
        stage = self.stage
        return frozenset(
            stage[t] for t in range(len(self)) for need in self.needs[t] if stage[need] == stage[t]
        )

    def _lay_slots(self, video: array[int], chunk: array[int]) -> None:
        """Numbers the pairs (video, chunk) in order and gives every task the earliest that waits for it."""
        first = array("q", (v << 32 | c for v, c in zip(video, chunk, strict=True)))
        for task in range(len(self) - 1, -1, -1):
            first[task] = min((first[task], *(first[d] for d in self.dependents[task])))
        keys = sorted(set(first))
        position = {key: slot for slot, key in enumerate(keys)}
        self.slot = array("i", (position[key] for key in first))
        self.slot_video = array("i", (key >> 32 for key in keys))
        self.slot_tasks = Rows([slot] for slot in self.slot).inverted(len(keys))


def schedule_graph(
    graph: TaskGraph,
    duration_s: Callable[[StageTask], float],
    resident: Callable[[StageTask], str] = lambda _: "",
) -> ScheduleGraph:
    """The scheduler's view of a job's task graph."""
    return ScheduleGraph(scheduled(task, duration_s(task), resident(task)) for task in graph.tasks.values())


def scheduled(task: StageTask, duration_s: float, resident: str = "") -> ScheduledTask:
    """The scheduler's view of one task. Segments are delivered at once and weigh nothing."""
    return ScheduledTask(
        id=task.id,
        stage=task.stage,
        needs=tuple(dict.fromkeys(need.task for need in task.needs)),
        video=task.video,
        chunk=task.chunk,
        payload_bytes=0 if task.stage is Stage.SEGMENT else task.bytes_estimate,
        duration_s=duration_s,
        resident=resident,
        without=task.without,
        prompt=isinstance(task.params, EncodeText),
    )
