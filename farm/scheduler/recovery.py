"""What happened to the tasks that failed. Only they have an entry, so a clean job keeps nothing."""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from farm.scheduler.graph import STAGES
from farm.scheduler.roster import Roster, Status
from jobs.errors import FailureKind
from jobs.failures import Failure, Verdict, decide

if TYPE_CHECKING:
    from farm.scheduler.config import SchedulerConfig
    from farm.scheduler.tasks import TaskTable


class FailureHandling:
    """Failures, verdicts, and the ready tasks that some workers must not get."""

    def __init__(self, tasks: TaskTable, roster: Roster, config: SchedulerConfig) -> None:
        self.graph = tasks.graph
        self.roster = roster
        self.config = config
        self.failures: dict[int, list[Failure]] = {}
        self.verdicts: dict[int, Verdict] = {}
        self.picky: list[list[int]] = [[] for _ in STAGES]

    def judge(self, task: int, failure: Failure) -> Verdict:
        """Records the failure; what to do now."""
        history = self.failures.setdefault(task, [])
        history.append(failure)
        stage, config = STAGES[self.graph.stage[task]].value, self.config
        verdict = decide(history, stage, config.max_attempts, config.max_losses)
        self.verdicts[task] = verdict
        return verdict

    def hangs(self, task: int) -> int:
        """How often the task passed its deadline."""
        history = self.failures.get(task, ())
        return sum(failure.kind is FailureKind.HANG for failure in history)

    def rungs(self, task: int) -> tuple[str, ...]:
        """What the next attempt must do against running out of memory."""
        verdict = self.verdicts.get(task)
        return tuple(rung.value for rung in verdict.rungs) if verdict else ()

    def note(self, task: int) -> str:
        """Why the task is tried again; empty when it never failed."""
        verdict = self.verdicts.get(task)
        return verdict.reason if verdict else ""

    def hold_back(self, task: int) -> bool:
        """Files a ready task that must go to another worker, if it is one."""
        verdict = self.verdicts.get(task)
        if verdict is None or not verdict.avoid:
            return False
        insort(self.picky[self.graph.stage[task]], task)
        return True

    def discard(self, task: int) -> None:
        """The task is assigned, or ready no longer."""
        waiting = self.picky[self.graph.stage[task]]
        if task in waiting:
            waiting.remove(task)

    def match(self, stage: int, idle: dict[int, None]) -> tuple[int, int] | None:
        """A held-back task and an idle worker that may have it."""
        for task in self.picky[stage]:
            avoid = self._avoided(task)
            for number in idle:
                if number not in avoid:
                    return task, number
        return None

    def _avoided(self, task: int) -> set[int]:
        """Workers that must not get the task, as long as another may come to serve it."""
        stage = self.graph.stage[task]
        known = [self.roster.by_id[name] for name in self.verdicts[task].avoid if name in self.roster.by_id]
        present = {worker.number for worker in known if worker.status != Status.RETIRED}
        return present if self.roster.hosts[stage] > len(present) else set()
