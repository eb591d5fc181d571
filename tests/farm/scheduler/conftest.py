"""A scheduler to talk to: small jobs, a clock that the test turns, and what was said last."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from farm.scheduler import events
from farm.scheduler.commands import Assign, Command
from farm.scheduler.config import SchedulerConfig
from farm.scheduler.core import Scheduler
from farm.scheduler.graph import ScheduledTask, ScheduleGraph

if TYPE_CHECKING:
    from jobs.errors import FailureKind
    from jobs.tasks.task import Stage


@dataclass
class Desk:
    """Tells the scheduler things and remembers its orders; `now` is the clock."""

    scheduler: Scheduler
    now: float = 0.0
    orders: list[Command] = field(default_factory=list)
    given: dict[str, Assign] = field(default_factory=dict)

    @property
    def running(self) -> dict[str, Assign]:
        """The latest assignment of each task that a worker holds."""
        board = self.scheduler.board
        held = {board.graph.ids[task] for worker in board.roster.workers for task, _ in worker.held}
        return {task: order for task, order in self.given.items() if task in held}

    def tell(self, event: events.Event, after: float = 0.0) -> list[Command]:
        self.now += after
        self.orders = self.scheduler.handle(event, self.now)
        for order in self.orders:
            if isinstance(order, Assign):
                self.given[order.task] = order
        return self.orders

    def worker(self, name: str, *stages: Stage, host: str = "host") -> list[Command]:
        return self.tell(events.WorkerLoaded(name, frozenset(stages), host))

    def done(self, task: str, after: float = 1.0) -> list[Command]:
        order = self.given[task]
        return self.tell(events.TaskDone(task, order.worker, order.attempt), after)

    def failed(self, task: str, kind: FailureKind, after: float = 1.0, **more: Any) -> list[Command]:
        order = self.given[task]
        return self.tell(events.AttemptFailed(task, order.worker, order.attempt, kind, **more), after)

    def of(self, kind: type) -> list[Any]:
        """The last orders of one kind."""
        return [order for order in self.orders if isinstance(order, kind)]

    def assigned(self) -> list[tuple[str, str]]:
        return [(order.task, order.worker) for order in self.of(Assign)]


@pytest.fixture
def desk() -> Callable[..., Desk]:
    def make(tasks: Iterable[ScheduledTask], committed: Iterable[str] = (), **config: Any) -> Desk:
        graph = ScheduleGraph(tasks)
        return Desk(Scheduler(graph, SchedulerConfig(**config), list(committed)))

    return make
