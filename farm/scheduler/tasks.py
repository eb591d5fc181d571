"""The state of every task, and what follows when one changes. A change costs its edges, never the graph."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterable

from farm.scheduler.graph import STAGES, ScheduleGraph

WAITING, READY, RUNNING, DONE, QUARANTINED, BLOCKED = range(6)
"""WAITING for needs; QUARANTINED: failed too often; BLOCKED: needs a quarantined one."""

OVER = frozenset((DONE, QUARANTINED, BLOCKED))
LEFT_OUT = frozenset((QUARANTINED, BLOCKED))

NOBODY = -1


class TaskTable:
    """States, open needs and open readers of all tasks, in a few bytes each.

    `missing[i]` counts the needs of i that are not done, `unread[i]` the tasks still to run that read i's
    payload. `model_left_s` is what is left to do with each model.
    """

    def __init__(self, graph: ScheduleGraph, committed: Collection[str]) -> None:
        count, there = len(graph), frozenset(committed)
        self.graph = graph
        self.state = bytearray(DONE if name in there else WAITING for name in graph.ids)
        self.missing = array("i", bytes(4 * count))
        self.unread = array("i", bytes(4 * count))
        self.attempt = array("i", bytes(4 * count))
        self.made_by = array("i", [NOBODY]) * count
        self.left = self.state.count(WAITING)
        self.done = count - self.left
        self.work_left_s = [0.0] * len(STAGES)
        self.stage_left = [0] * len(STAGES)
        self.model_left_s = [0.0] * len(graph.residents)
        self._count_edges()

    def _count_edges(self) -> None:
        for task in range(len(self.graph)):
            runs = self.state[task] == WAITING
            if runs:
                self._work_changed(task, +1)
            for need in self.graph.needs[task]:
                self.unread[need] += runs
                self.missing[task] += self.state[need] != DONE

    def ready_at_start(self) -> list[int]:
        """Marks and returns the tasks that can run at once."""
        ready = [t for t in range(len(self.graph)) if self.state[t] == WAITING and not self.missing[t]]
        for task in ready:
            self.state[task] = READY
        return ready

    def assigned(self, task: int) -> int:
        """Marks the task as running; returns the number of this attempt."""
        self.state[task] = RUNNING
        self.attempt[task] += 1
        return self.attempt[task]

    def complete(self, task: int, worker: int) -> list[int]:
        """The task's result is committed: returns the tasks that can run now."""
        self.state[task] = DONE
        self.made_by[task] = worker
        self.left -= 1
        self.done += 1
        self._work_changed(task, -1)
        state, missing, ready = self.state, self.missing, []
        for dependent in self.graph.dependents[task]:
            missing[dependent] -= 1
            if not missing[dependent] and state[dependent] == WAITING:
                state[dependent] = READY
                ready.append(dependent)
        return ready

    def read_by(self, task: int) -> list[int]:
        """Takes the task off its needs' readers: returns those that nothing will read any more."""
        unread, free = self.unread, []
        for need in self.graph.needs[task]:
            unread[need] -= 1
            if not unread[need]:
                free.append(need)
        return free

    def requeue(self, task: int) -> bool:
        """Back from a worker; true when it can run at once, false when a need was lost meanwhile."""
        self.state[task] = READY if not self.missing[task] else WAITING
        return self.state[task] == READY

    def barred(self, task: int) -> bool:
        """Whether a need of the task is quarantined or blocked."""
        return any(self.state[need] in LEFT_OUT for need in self.graph.needs[task])

    def reopen(self, task: int) -> tuple[list[int], list[int]]:
        """The task must run (again), and whatever quarantined or blocked tasks it needs.

        Returns the tasks opened, needs first, and those that were ready and now wait for one of them.
        """
        opened: list[int] = []
        demoted: list[int] = []
        stack = [task]
        while stack:
            current = stack.pop()
            if self.state[current] in OVER:
                demoted.extend(self._open(current))
                opened.append(current)
                stack.extend(need for need in self.graph.needs[current] if self.state[need] in LEFT_OUT)
        for current in opened:
            self.state[current] = READY if not self.missing[current] else WAITING
        return opened[::-1], demoted

    def _open(self, task: int) -> list[int]:
        """Marks the task as waiting; returns the dependents that are ready no longer."""
        demoted = self._unmake(task) if self.state[task] == DONE else []
        self.state[task] = WAITING
        self.left += 1
        self._work_changed(task, +1)
        return demoted

    def _unmake(self, task: int) -> list[int]:
        self.done -= 1
        for need in self.graph.needs[task]:
            self.unread[need] += 1
        demoted = []
        for dependent in self.graph.dependents[task]:
            self.missing[dependent] += 1
            if self.state[dependent] == READY:
                self.state[dependent] = WAITING
                demoted.append(dependent)
        return demoted

    def quarantine(self, task: int, state: int = QUARANTINED) -> list[int]:
        """Takes the task out and blocks all that needs it; returns every task taken out, itself first."""
        taken = [task]
        self._take_out(task, state)
        for current in taken:
            for dependent in self.graph.dependents[current]:
                if self.state[dependent] in (WAITING, READY):
                    self._take_out(dependent, BLOCKED)
                    taken.append(dependent)
        return taken

    def _take_out(self, task: int, state: int) -> None:
        self.state[task] = state
        self.left -= 1
        self._work_changed(task, -1)

    def _work_changed(self, task: int, sign: int) -> None:
        stage = self.graph.stage[task]
        self.stage_left[stage] += sign
        change = sign * self.graph.duration_s[task]
        self.work_left_s[stage] = self.work_left_s[stage] + change if self.stage_left[stage] else 0.0
        self.model_left_s[self.graph.resident[task]] += change

    def delivered(self) -> bool:
        """Whether any task that nothing else needs is done."""
        edges = self.graph.dependents.start
        return any(s == DONE and edges[t] == edges[t + 1] for t, s in enumerate(self.state))

    def numbers(self, ids: Iterable[str]) -> list[int]:
        """Task numbers of ids; unknown ones are left out."""
        known = self.graph.number
        return [known[name] for name in ids if name in known]
