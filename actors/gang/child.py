"""A further rank of a gang as the first one has it: a process, what it is asked, and what it answers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO

from actors.gang.messages import ANSWER_FORM, Answer

END_S = 5.0
VISIBLE = "CUDA_VISIBLE_DEVICES"
ROOT = str(Path(__file__).parents[2])


class ChildRank:
    """One further rank. A thread starts it, reads what it says, and outlives it: the kernel ends the process
    with the thread that started it."""

    def __init__(
        self,
        place: tuple[int, int],
        charter: bytes,
        gpu: str,
        failed: Callable[[Answer], None],
        lose: Callable[[str], None],
    ) -> None:
        self.rank, self.size = place
        self._answers: SimpleQueue[Answer] = SimpleQueue()
        self._failed, self._lose, self._gpu = failed, lose, gpu
        self._process: subprocess.Popen[bytes] | None = None
        self._closing = False
        reading, writing = os.pipe()
        self.orders: BinaryIO = os.fdopen(writing, "wb")
        self._thread = threading.Thread(
            target=self._live, args=(reading,), name=f"rank-{self.rank}", daemon=True
        )
        self._thread.start()
        self.orders.write(charter)
        self.orders.flush()

    def answer(self, patience_s: float) -> Answer | None:
        """The next one; None where it does not come within `patience_s`."""
        try:
            return self._answers.get(timeout=patience_s)
        except Empty:
            return None

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """It ends by itself, or is ended."""
        self._closing = True
        try:
            self.orders.close()
        except OSError:
            self.kill()
        self._thread.join(END_S)
        self.kill()
        self._thread.join(END_S)

    def _live(self, orders: int) -> None:
        said, saying = os.pipe()
        command = [
            sys.executable,
            "-P",
            "-m",
            "actors.gang.member",
            str(os.getpid()),
            str(orders),
            str(saying),
        ]
        try:
            self._process = subprocess.Popen(
                command, env=self._environment(), stdin=subprocess.DEVNULL, pass_fds=(orders, saying)
            )
        finally:
            os.close(orders)
            os.close(saying)
        with os.fdopen(said, "rb") as source:
            for line in source:
                self._heard(ANSWER_FORM.parse(line))
        self._process.wait()
        if not self._closing:
            self._lose(f"rank {self.rank} of {self.size} (process {self._process.pid}) {self._end()}")

    def _heard(self, answer: Answer) -> None:
        self._answers.put(answer)
        if answer.failed:
            self._failed(answer)

    def _end(self) -> str:
        assert self._process is not None
        code = self._process.returncode
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def _environment(self) -> dict[str, str]:
        places = [place or str(Path.cwd()) for place in sys.path]
        path = os.pathsep.join(places if ROOT in places else [*places, ROOT])
        return {**os.environ, "PYTHONPATH": path, **({VISIBLE: self._gpu} if self._gpu else {})}
