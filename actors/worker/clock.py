"""Where a task's time goes."""

from __future__ import annotations

import time


class Clock:
    """Seconds between notes, by name."""

    def __init__(self) -> None:
        self.seconds_of: dict[str, float] = {}
        self._last = time.monotonic()

    def note(self, name: str, apart: tuple[str, float] = ("", 0.0)) -> None:
        """Since the last note; a part of it that was measured otherwise, `apart` by name, is not counted
        twice."""
        now, (other, seconds) = time.monotonic(), apart
        self.seconds_of[name] = max(0.0, now - self._last - seconds)
        if other:
            self.seconds_of[other] = seconds
        self._last = now
