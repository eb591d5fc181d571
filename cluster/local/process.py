"""One process that is made up: it waits for room, starts, serves calls one by one, and may die."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from cluster.local.faults import Crash, Fail, Fate, Hang
from cluster.pool.shell import PayloadLost, Placement, WorkerShell
from jobs.errors import (
    BadOutput,
    FailureKind,
    InvalidInput,
    OutOfMemory,
    StageError,
    StorageProblem,
    WorkerLost,
)

if TYPE_CHECKING:
    from cluster.inventory import NodeFacts, WorkerRequest
    from cluster.local.cluster import LocalCluster

RAISED: dict[FailureKind, type[StageError]] = {
    FailureKind.INVALID: InvalidInput,
    FailureKind.OOM: OutOfMemory,
    FailureKind.WORKER_LOST: WorkerLost,
    FailureKind.BAD_OUTPUT: BadOutput,
    FailureKind.STORAGE: StorageProblem,
}
"""What a step raises for a failure of the kind; a bug is none of ours."""


class ProcessLost(Exception):
    """The process of a call is gone."""

    def __init__(self, reason: str, kind: FailureKind = FailureKind.WORKER_LOST) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class _Kept:
    """A payload in the memory of the process that made it."""

    payload: Any
    process: LocalProcess


class LocalShell(WorkerShell):
    """The worker's side."""

    def __init__(self, process: LocalProcess, placement: Placement) -> None:
        super().__init__(placement.worker, placement.incarnation)
        self._process, self._placement = process, placement

    def here(self) -> Placement:
        return self._placement

    def keep(self, payload: Any) -> _Kept:
        return _Kept(payload, self._process)

    def fetch(self, reference: _Kept) -> Any:
        if reference.process.gone:
            raise PayloadLost
        return reference.payload


@dataclass(frozen=True, slots=True)
class _Call:
    method: str
    values: tuple[Any, ...]
    future: Future[Any]


class LocalProcess:
    """Implements `Actor`. Without a `node` it waits for room; `gone` is final."""

    def __init__(self, cluster: LocalCluster, request: WorkerRequest, incarnation: int) -> None:
        self.request, self.incarnation = request, incarnation
        self.node: NodeFacts | None = None
        self.gpus: list[int] = []
        self.gone = False
        self.stopped = False
        """It answers nothing any more, and lives."""
        self._cluster = cluster
        self._shell: LocalShell | None = None
        self._calls: deque[_Call] = deque()
        self._open: list[Future[Any]] = []
        self._busy = False
        self._haunts = False
        """Something of it goes on after its end."""

    # -- the driver's side

    def call(self, method: str, *values: Any) -> Future[Any]:
        call = _Call(method, values, Future())
        self._open.append(call.future)
        if self.gone:
            self._cluster.clock.after(0.0, partial(self._fail, ProcessLost("the process is gone")))
        elif method == "ping" and self._shell is not None:
            self._after(0.0, partial(self._do, call))
        else:
            self._calls.append(call)
            self._next()
        return call.future

    def kill(self) -> None:
        self._open.clear()
        self.end()

    # -- life

    def settle(self, node: NodeFacts, gpus: list[int], start_s: float) -> None:
        """It has a place, and starts."""
        self.node, self.gpus = node, gpus
        self._after(start_s, partial(self._started, node))

    def _started(self, node: NodeFacts) -> None:
        gpus = tuple(map(str, self.gpus))
        placement = Placement(
            self.request.id, self.incarnation, node.id, node.host, self._cluster.new_pid(),
            gpus, ",".join(gpus), "cpu", node.accelerator,
        )  # fmt: skip
        self._shell = LocalShell(self, placement)
        self._next()

    def die(self, reason: str, kind: FailureKind = FailureKind.WORKER_LOST, noticed_s: float = 0.0) -> None:
        """The process ends, and its calls with it."""
        if not self.gone:
            self.end()
            self._cluster.clock.after(noticed_s, partial(self._fail, ProcessLost(reason, kind)))

    def end(self) -> None:
        """Give back what it held; nothing is reported."""
        if self.gone:
            return
        self.gone = True
        self._calls.clear()
        if not self._haunts:
            self.release()
        self._cluster.seat()

    def release(self) -> None:
        """Release the worker, whose process never was one."""
        if self._shell is not None:
            self._shell.destroy()
            self._shell = None

    def _fail(self, error: ProcessLost) -> None:
        calls, self._open = self._open, []
        for future in calls:
            future.set_exception(error)

    # -- calls

    def _after(self, delay_s: float, act: Callable[[], None]) -> None:
        self._cluster.clock.after(delay_s, lambda: None if self.gone or self.stopped else act())

    def _next(self) -> None:
        if self._shell is None or self._busy or not self._calls:
            return
        call, self._busy = self._calls.popleft(), True
        if call.method == "run":
            self._attempt(call, str(call.values[0]))
        else:
            self._after(self._cluster.load_s if call.method == "load" else 0.0, partial(self._answer, call))

    def _attempt(self, call: _Call, task: str) -> None:
        seconds = self._cluster.seconds(self.request.id, task)
        fate = self._cluster.fate(self.request.id, task, seconds)
        if fate is None:
            self._after(seconds, partial(self._answer, call))
        else:
            self._meet(fate, call)

    def _meet(self, fate: Fate, call: _Call) -> None:
        match fate:
            case Fail():
                self._after(fate.after_s, partial(self._raise, call, fate))
            case Crash():
                for victim in self._cluster.neighbours(self) if fate.whole_host else [self]:
                    victim._after(fate.after_s, partial(victim.die, fate.reason, fate.kind, fate.noticed_s))
                if fate.zombie_s is not None:
                    self._haunt(fate.after_s + fate.zombie_s, _Call(call.method, call.values, Future()))
            case Hang() if fate.zombie_s is not None:
                self._haunt(fate.zombie_s, call)

    def _raise(self, call: _Call, fate: Fail) -> None:
        error = RAISED.get(fate.kind, RuntimeError)(fate.message or "a fault on purpose")
        self._finish(call)
        call.future.set_exception(error)

    def _haunt(self, delay_s: float, call: _Call) -> None:
        """The call is carried out, whatever has become of the process meanwhile."""
        self._haunts = True
        self._cluster.clock.after(delay_s, partial(self._do, call))

    def _answer(self, call: _Call) -> None:
        self._finish(call)
        self._do(call)

    def _finish(self, call: _Call) -> None:
        self._busy = False
        if self._calls:
            self._after(0.0, self._next)

    def _do(self, call: _Call) -> None:
        if call.future in self._open:
            self._open.remove(call.future)
        try:
            result = getattr(self._shell, call.method)(*call.values)
        except Exception as error:
            call.future.set_exception(error)
        else:
            call.future.set_result(result)
