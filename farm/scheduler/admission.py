"""How much may be made before it is delivered.

Sampling can outrun decoding and encoding for hours; frames of hundreds of megabytes a chunk would fill the
disk. A chunk is admitted when its first pass starts, and holds its share of the byte budget until its last is
committed. Past the budget no chunk is started, but for two kinds that must not wait: the oldest unfinished
chunk of each video that has begun, and that of the first unfinished video.
"""

from __future__ import annotations

from array import array

from farm.scheduler.graph import STAGE_NUMBER, ScheduleGraph
from farm.scheduler.tasks import OVER, TaskTable
from jobs.tasks.task import Stage

_SAMPLE, _UPSCALE = STAGE_NUMBER[Stage.SAMPLE], STAGE_NUMBER[Stage.UPSCALE]


class Admission:
    """Byte accounts of slots (see `ScheduleGraph`), and the front of every video. O(1) per task.

    Where workers `exchange` models, first passes run ahead of the budget: their latents are a hundredth of a
    chunk's frames, and a worker that had to go back to the second pass for each few of them would load models
    most of the time.
    """

    def __init__(
        self, graph: ScheduleGraph, tasks: TaskTable, budget_bytes: float, exchange: bool = False
    ) -> None:
        self.graph = graph
        self._counted = _UPSCALE if exchange else _SAMPLE
        self.budget_bytes = budget_bytes
        self.held_bytes = 0
        count = len(graph.slot_tasks)
        self.admitted = bytearray(count)
        self.left = array("i", bytes(4 * count))
        self.bytes = array("q", bytes(8 * count))
        self.payload_bytes = array("q", graph.payload_bytes)
        self.begun = bytearray(len(graph.videos))
        self._count(tasks)
        self.front = self._first_slots()
        self.oldest_video = 0
        self._advance_all()

    def _count(self, tasks: TaskTable) -> None:
        """Chunks that an earlier run began count as admitted."""
        for task in range(len(self.graph)):
            slot = self.graph.slot[task]
            self.bytes[slot] += self.graph.payload_bytes[task]
            self.left[slot] += tasks.state[task] not in OVER
        for task in range(len(self.graph)):
            slot = self.graph.slot[task]
            begun = tasks.state[task] in OVER and self.graph.stage[task] >= self._counted
            if begun and self.left[slot] and not self.admitted[slot]:
                self._admit(slot)

    def _first_slots(self) -> array[int]:
        front = array("i", [-1]) * len(self.graph.videos)
        for slot in range(len(self.graph.slot_video) - 1, -1, -1):
            front[self.graph.slot_video[slot]] = slot
        return front

    def _advance_all(self) -> None:
        for video in range(len(self.front)):
            if self.front[video] >= 0:
                self._advance(video)
        self._advance_oldest()

    @property
    def largest_bytes(self) -> int:
        """The payloads of the largest chunk."""
        return max(self.bytes, default=0)

    def is_open(self, task: int) -> bool:
        """Whether the task may start whatever the budget says."""
        slot = self.graph.slot[task]
        if self.admitted[slot] or self.graph.stage[task] < self._counted:
            return True
        video = self.graph.slot_video[slot]
        return self.front[video] == slot and (bool(self.begun[video]) or video == self.oldest_video)

    def fits(self, task: int) -> bool:
        """Whether the budget has room for the task's chunk."""
        slot = self.graph.slot[task]
        return not self.held_bytes or self.held_bytes + self.bytes[slot] <= self.budget_bytes

    def start(self, task: int) -> list[int]:
        """The task starts: its chunk is admitted. Returns tasks that may wait behind the gate no longer."""
        slot = self.graph.slot[task]
        if self.admitted[slot] or self.graph.stage[task] < self._counted:
            return []
        video = self.graph.slot_video[slot]
        first = not self.begun[video]
        self._admit(slot)
        opened = list(self.graph.slot_tasks[slot])
        if first and self.front[video] != slot:
            opened.extend(self.graph.slot_tasks[self.front[video]])
        return opened

    def _admit(self, slot: int) -> None:
        self.admitted[slot] = 1
        self.begun[self.graph.slot_video[slot]] = 1
        self.held_bytes += self.bytes[slot]

    def measured(self, task: int, payload_bytes: int) -> None:
        """The task's payload turned out to have this size."""
        slot = self.graph.slot[task]
        change = payload_bytes - self.payload_bytes[task]
        self.payload_bytes[task] = payload_bytes
        self.bytes[slot] += change
        if self.admitted[slot] and self.left[slot]:
            self.held_bytes += change

    def over(self, task: int) -> list[int]:
        """The task is committed or quarantined. Returns tasks that may wait behind the gate no longer."""
        slot = self.graph.slot[task]
        self.left[slot] -= 1
        if self.left[slot]:
            return []
        if self.admitted[slot]:
            self.held_bytes -= self.bytes[slot]
            self.admitted[slot] = 0
        video = self.graph.slot_video[slot]
        before = self.oldest_video, self.front[video]
        self._advance(video)
        self._advance_oldest()
        if before == (self.oldest_video, self.front[video]):
            return []
        return self._open_fronts(video)

    def reopened(self, task: int) -> None:
        """The task must run again; its chunk may become its video's oldest unfinished one again."""
        slot = self.graph.slot[task]
        video = self.graph.slot_video[slot]
        self.left[slot] += 1
        self.front[video] = min(self.front[video], slot)
        self.oldest_video = min(self.oldest_video, video)

    def _open_fronts(self, video: int) -> list[int]:
        opened: list[int] = []
        for each in {video, min(self.oldest_video, len(self.front) - 1)}:
            slot = self.front[each]
            if slot < len(self.left) and self.graph.slot_video[slot] == each:
                opened.extend(self.graph.slot_tasks[slot])
        return opened

    def _advance(self, video: int) -> None:
        """Moves the video's front past chunks with nothing left; at its end the front is past the video."""
        slot, owner = self.front[video], self.graph.slot_video
        while slot < len(self.left) and owner[slot] == video and not self.left[slot]:
            slot += 1
        self.front[video] = slot

    def _advance_oldest(self) -> None:
        video, owner = self.oldest_video, self.graph.slot_video
        while video < len(self.front):
            slot = self.front[video]
            if 0 <= slot < len(self.left) and owner[slot] == video:
                break
            video += 1
        self.oldest_video = video
