"""The first rank's side of a gang: it starts the others, tells them of each step, and notices their end."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, InvalidStateError, wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from actors.compute import compute_class
from actors.engines.base import SharesSteps
from actors.failures import classify
from actors.gang.child import VISIBLE, ChildRank
from actors.gang.messages import (
    Answer,
    Charter,
    RankReport,
    StepOrder,
    charter_line,
    report_here,
    send_step,
)
from jobs.errors import CannotRun, FailureKind, InvalidInput, OutOfMemory, StageBug, StageError, WorkerLost
from jobs.planning.params import DecodeParams
from jobs.planning.rounds.params import TileParams
from jobs.scratch import Scratch
from jobs.tasks.task import Stage
from jobs.tasks.topology import SHARED_STAGES

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from actors.gang.messages import Inputs
    from actors.ranks import Ranks
    from jobs.planning.params import PassParams
    from jobs.tasks.task import StageTask

T = TypeVar("T")

GRACE_S = 5.0
"""How much later than another rank one may fail of the same cause."""
LOOK_S = 0.2
RAISED: dict[str, type[StageError]] = {
    FailureKind.INVALID.value: InvalidInput,
    FailureKind.OOM.value: OutOfMemory,
    FailureKind.WORKER_LOST.value: WorkerLost,
}


class Gang:
    """Ranks 1 and up as child processes of this one, which is rank 0.

    Between steps nothing passes but orders and answers, through pipes. A rank that ends, or fails where the
    others do not, ends the worker: what waits for it would wait for ever.
    """

    def __init__(self, charter: Charter) -> None:
        self.charter = charter
        self.reports: tuple[RankReport, ...] = ()
        """Of all ranks, as they were after the last step."""
        self.short = False
        """Whether memory of another rank ran out unnoticed in the last step that the ranks shared."""
        self._scratch = Scratch()
        self._children: list[ChildRank] = []
        self._lost: Future[None] = Future()
        """Never has a result: why the gang is at its end."""
        self._step = 0
        """Odd while the ranks are at work on one."""
        self._gpus = _devices(charter)
        self._ranks: Ranks | None = None

    def start(self) -> None:
        """Start the other ranks; they load their models meanwhile. Raises CannotRun without enough GPUs."""
        folder = str(self._scratch.folder())
        for rank in range(1, self.charter.size):
            line = charter_line(self.charter, rank, folder)
            self._children.append(
                ChildRank((rank, self.charter.size), line, self._gpus[rank], self._failed, self._lose)
            )

    def join(self, engine: Engine) -> None:
        """Wait until all have loaded, and make the engine a part of the gang. Raises StageError."""

        def meet() -> None:
            self._take(self._answers())
            if isinstance(engine, SharesSteps) and not self._lost.done():
                engine.join(self._meet())

        self.watched(meet)

    def _meet(self) -> Ranks:
        """Ends the gang where its ranks do not reach each other in time."""
        from actors import ranks

        charter, within_s = self.charter, ranks.MEETING_S
        why = f"the ranks did not reach each other within {within_s:g} s (NCCL_DEBUG=INFO says more)"
        late = threading.Timer(within_s, self._lose, (why,))
        late.daemon = True
        late.start()
        try:
            self._ranks = ranks.Ranks.meet(self._scratch.folder(), 0, charter.size, charter.device)
        finally:
            late.cancel()
        return self._ranks

    def watched(self, call: Callable[[], T]) -> T:
        """What the call answers; raises why as soon as the gang is at its end, whatever the call waits
        for."""
        done: Future[T] = Future()
        threading.Thread(target=_settle, args=(done, call), name="gang-call", daemon=True).start()
        either: tuple[Future[Any], ...] = (done, self._lost)
        wait(either, return_when=FIRST_COMPLETED)
        if done.done() and done.exception() is not None:
            # The end of a rank breaks what the others do a moment before it is noticed.
            wait((self._lost,), 0.0 if isinstance(done.exception(), StageError) else GRACE_S)
        if self._lost.done():
            self._lost.result()
        return done.result()

    def shares(self, task: StageTask, engine: Engine) -> bool:
        """Whether the ranks share this task, or this one does it alone."""
        if isinstance(task.params, DecodeParams):
            return isinstance(engine, SharesSteps) and engine.shares(task.params)
        return task.stage in SHARED_STAGES

    def step(self, task: StageTask, inputs: Inputs, free: Sequence[str], begin: Callable[[], T]) -> T:
        """`begin` on this rank while the others do the same. Raises what it raises; the gang is at its end
        where the others do not fail with it."""
        order = StepOrder(task.id, task.stage, task.params, tuple(free))  # type: ignore[arg-type]
        return self._together(order, inputs, begin)

    def prove(
        self,
        engine: Engine,
        sizes: Sequence[PassParams | TileParams],
        on_device: Callable[[Callable[[], float]], float],
    ) -> str:
        """How what the ranks make together differs from what one makes alone, at any of these sizes; empty
        where no bit does. Each size is a step of its own `on_device`, as it is of the other ranks."""
        if not isinstance(engine, SharesSteps):
            return ""
        for run in sizes:
            order = StepOrder("proof", Stage.SAMPLE, run, proof=True)
            most = self._together(order, {}, partial(on_device, partial(engine.difference, run)))
            if most != 0:
                latents = len(run.tile.span) if isinstance(run, TileParams) else run.span.sampled
                size = f"{run.width}x{run.height}, {latents} latents"
                return f"{self.charter.size} ranks make other bits than one, by up to {most:.1e} at {size}"
        return ""

    def _together(self, order: StepOrder, inputs: Inputs, begin: Callable[[], T]) -> T:
        self._step += 1
        self.short = False
        try:
            send_step(order, inputs, [child.orders for child in self._children])
            made = begin()
        except Exception as error:
            self._step += 1
            if len(self._answers(GRACE_S)) < len(self._children):
                found = classify(error, order.task)
                self._lose(str(found), found.kind.value)
            raise
        self._step += 1
        self._take(self._answers())
        return made

    def close(self) -> None:
        """End the other ranks."""
        with suppress(InvalidStateError):
            self._lost.set_exception(WorkerLost("the gang was closed"))
        for child in self._children:
            child.close()
        self._scratch.clear()

    def _answers(self, patience_s: float = math.inf) -> list[Answer]:
        """What the others say of the step, as far as they do within `patience_s` and while the gang lasts."""
        found, until_s = [], time.monotonic() + patience_s
        for child in self._children:
            while (answer := child.answer(LOOK_S)) is None:
                if self._lost.done() or time.monotonic() > until_s:
                    break
            found += [answer] if answer else []
        return found

    def _take(self, answers: Sequence[Answer]) -> None:
        device = self.charter.device
        own = report_here(0, device, compute_class(device), self._gpus[0])
        self.reports = (own, *(answer.report for answer in answers))
        self.short = any(answer.short for answer in answers)
        for answer in answers:
            if answer.failed:
                self._lose(_said(answer), answer.kind)

    def _failed(self, answer: Answer) -> None:
        """A rank has failed. In a step this one may do so of the same cause, in its own time; behind its own
        end of the step the answers are counted."""
        at = self._step
        if not self.reports:
            self._lose(_said(answer), answer.kind)
        elif at % 2:

            def look() -> None:
                if self._step == at:
                    self._lose(_said(answer), answer.kind)

            timer = threading.Timer(GRACE_S, look)
            timer.daemon = True
            timer.start()

    def _lose(self, why: str, kind: str = FailureKind.WORKER_LOST.value) -> None:
        """The worker is lost with its gang."""
        error = RAISED.get(kind, StageBug)(
            f"{why}: the gang of {self.charter.size} ends, the worker is replaced"
        )
        error.worker_gone = True
        with suppress(InvalidStateError):
            self._lost.set_exception(error)
            for child in self._children:
                child.kill()
            if self._ranks is not None:
                self._ranks.abandon()


def _said(answer: Answer) -> str:
    return f"{answer.message} (rank {answer.report.rank})"


def _settle(done: Future[T], call: Callable[[], T]) -> None:
    try:
        done.set_result(call())
    except BaseException as error:
        done.set_exception(error)


def _devices(charter: Charter) -> list[str]:
    """By rank, the one GPU that it may see, as `CUDA_VISIBLE_DEVICES` names it; empty on CPUs."""
    if not charter.device.startswith("cuda"):
        return [""] * charter.size
    named = os.environ.get(VISIBLE)
    visible = named.split(",") if named else [str(number) for number in range(charter.size)]
    if len(visible) < charter.size:
        raise CannotRun(
            f"a gang of {charter.size} ranks has {len(visible)} GPU here ({VISIBLE}={named}): "
            "start Ray with all GPUs of the node"
        )
    return visible[: charter.size]
