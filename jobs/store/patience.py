"""Says that a store does not answer while somebody still waits for it.

A call into a hung mount or a silent object store cannot report by itself. One thread looks at the calls that
are under way, and logs those that take long.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

FIRST_S, AGAIN_S = 5.0, 10.0
OFTEN_S = 120.0
"""Until then a call is reported every ten seconds, afterwards each time that its wait has doubled."""

LOOK_S = 0.5
SOON_S = 1.0
"""A call that begins so soon after one that failed waits for the same answer: short waits in a row are one
long one."""

log = logging.getLogger("ltx-farm")


@dataclass(slots=True)
class _Call:
    """A call to `place` that began at `since_s`; it is reported next when it has taken `next_s`."""

    place: str
    since_s: float
    next_s: float


class _Watch:
    """The calls under way in this process; its thread comes with the first."""

    def __init__(self) -> None:
        self._calls: dict[int, _Call] = {}
        self._unanswered: dict[int, tuple[float, _Call]] = {}
        self._starting = threading.Lock()
        self._started = False

    @contextmanager
    def over(self, place: str) -> Iterator[None]:
        """Watch what is done inside; calls of one thread may be nested, the outermost counts."""
        thread = threading.get_ident()
        if thread in self._calls:
            yield
            return
        call = self._calls[thread] = self._begun(thread, place)
        if not self._started:
            self._start()
        try:
            yield
        except BaseException:
            self._unanswered[thread] = time.monotonic(), call
            raise
        finally:
            del self._calls[thread]
            if call.next_s > FIRST_S:
                log.warning("%s: over after %.0f s", place, time.monotonic() - call.since_s)

    def _begun(self, thread: int, place: str) -> _Call:
        now = time.monotonic()
        failed_s, before = self._unanswered.pop(thread, (-math.inf, None))
        if before is not None and before.place == place and now - failed_s < SOON_S:
            return before
        return _Call(place, now, FIRST_S)

    def _start(self) -> None:
        with self._starting:
            if not self._started:
                threading.Thread(target=self._look, name="store-watch", daemon=True).start()
                self._started = True

    def _look(self) -> None:
        while True:
            time.sleep(LOOK_S)
            self.look()

    def look(self) -> None:
        """Report the calls that have taken long."""
        now = time.monotonic()
        for call in list(self._calls.values()):
            if now - call.since_s >= call.next_s:
                log.warning("%s has not answered for %.0f s; still trying", call.place, call.next_s)
                call.next_s += AGAIN_S if call.next_s < OFTEN_S else call.next_s


watch = _Watch()
