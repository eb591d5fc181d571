"""A further rank of a gang, as a process: `python -m actors.gang.member PARENT ORDERS ANSWERS`.

It takes part in the steps that it reads of, and ends with the first rank, however that ends.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from actors.compute import compute_class
from actors.device import DeviceThread, failed_allocations
from actors.engines.base import SharesSteps, landed
from actors.engines.make import make_engine
from actors.failures import classify
from actors.gang.messages import (
    Answer,
    RankReport,
    StepMessage,
    answer_line,
    read_charter,
    read_step,
    report_here,
)
from actors.steps.run import take_part
from actors.steps.seeding import fix_threads
from jobs.planning.params import DecodeParams
from jobs.planning.rounds.params import CanvasParams
from jobs.scratch import Scratch

if TYPE_CHECKING:
    from actors.engines.base import Arriving, Engine
    from actors.gang.messages import Charter
    from actors.payload import Payload

PR_SET_PDEATHSIG = 1
VISIBLE = "CUDA_VISIBLE_DEVICES"


def main(parent: int, orders: int, answers: int) -> None:
    _die_with(parent)
    with os.fdopen(orders, "rb") as source, os.fdopen(answers, "wb", buffering=0) as target:
        charter, rank, folder = read_charter(source)
        _Member(charter, rank, target).run(Path(folder), source)


def _die_with(parent: int) -> None:
    """The kernel kills this process when the thread that started it ends: a stopped process, too, and
    whatever killed the first rank."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Member:
    def __init__(self, charter: Charter, rank: int, answers: BinaryIO) -> None:
        self.charter, self.rank, self.answers = charter, rank, answers
        self.device = DeviceThread()
        """As the first rank's: what it chose while memory was short ends with it."""

    def run(self, folder: Path, source: BinaryIO) -> None:
        charter = self.charter
        try:
            engine = make_engine(charter.engine, charter.device, charter.threads, charter.streamed)
            fix_threads(charter.threads)
            self.device.run(partial(engine.setup, charter.stages))
            self._say(Answer(self._report()))
            if isinstance(engine, SharesSteps):
                from actors.ranks import Ranks

                engine.join(Ranks.meet(folder, self.rank, charter.size, charter.device))
        except Exception as error:
            self._failed(error, "start")
            raise
        while (step := read_step(source)) is not None:
            self.device.run(partial(self._take_part, engine, step))
        engine.close()
        self.device.close()

    def _take_part(self, engine: Engine, step: StepMessage) -> None:
        device = self.charter.device
        fix_threads(self.charter.threads)
        failed = failed_allocations(device)
        made: Payload | Path | Arriving | float | None
        try:
            for level in step.order.free:
                engine.free(level)  # type: ignore[arg-type]
            run = step.order.params
            if step.order.proof and not isinstance(run, CanvasParams | DecodeParams):
                assert isinstance(engine, SharesSteps)
                made = engine.difference(run)
            else:
                with Scratch() as scratch:
                    made = take_part(step.task, step.inputs, engine, scratch)
        except Exception as error:
            self._failed(error, step.order.task)
            return
        finally:
            if short := failed_allocations(device) > failed:
                self.device.renew()
                engine.free("cache")
        self._say(Answer(self._report(), short=short))
        # The first rank has the same result. Waited for: what it was copied to is needed again.
        landed(made)

    def _failed(self, error: Exception, task: str) -> None:
        found = classify(error, task)
        self._say(Answer(self._report(), kind=found.kind.value, message=str(found)))

    def _report(self) -> RankReport:
        device = self.charter.device
        return report_here(self.rank, device, compute_class(device), os.environ.get(VISIBLE, ""))

    def _say(self, answer: Answer) -> None:
        self.answers.write(answer_line(answer))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
