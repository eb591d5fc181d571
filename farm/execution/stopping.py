"""Ends a render before it is done: a signal, or what the user asked of it."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import TYPE_CHECKING

from farm.events import Event, Notice
from farm.state.job_state import CANCELLED, INTERRUPTED, PAUSED, PAUSED_BY_USER
from jobs.store.documents import UserRequest

if TYPE_CHECKING:
    from farm.execution.dispatch import Dispatch

POLL_S = 2.0
GRACEFUL = "SIGTERM"
"""What announces the end of a machine. Who types Ctrl-C does not want to wait."""


class Stopping:
    """Looked at once a turn. `grace_s` is how long what runs may go on after SIGTERM."""

    def __init__(self, dispatch: Dispatch, grace_s: float) -> None:
        self.dispatch, self.grace_s = dispatch, grace_s
        self._signal = ""
        self._until_s: float | None = None
        self._polled_s = 0.0

    def signalled(self, name: str) -> None:
        """A signal came; for its handler."""
        self._signal = name

    def look(self, now_s: float, busy: bool) -> Iterator[Event]:
        """Gives the dispatch an ending where there is a reason to end; `busy` is whether any worker is."""
        yield from self._look_at_requests(now_s)
        dispatch = self.dispatch
        if self._signal:
            yield from self._wind_down(now_s, busy)
        elif dispatch.ending is None and dispatch.pausing and not busy:
            yield from self._go_on(dispatch.session.store.requests())
            if dispatch.pausing:
                dispatch.ending = PAUSED, dispatch.pausing

    def _wind_down(self, now_s: float, busy: bool) -> Iterator[Event]:
        """Nothing new begins; what runs may finish while the grace lasts."""
        dispatch = self.dispatch
        if self._until_s is None:
            self._until_s = now_s + (self.grace_s if self._signal == GRACEFUL else 0.0)
            if busy and now_s < self._until_s:
                dispatch.pause(self._signal)
                said = f"{self._signal}: nothing new begins, what runs may finish within {self.grace_s:g} s"
                yield dispatch.session.record(Notice(said))
        if dispatch.ending is None and not (busy and now_s < self._until_s):
            dispatch.ending = INTERRUPTED, f"stopped by {self._signal}; the same command continues it"

    def _look_at_requests(self, now_s: float) -> Iterator[Event]:
        if now_s - self._polled_s < POLL_S:
            return
        self._polled_s = now_s
        asked = self.dispatch.session.store.requests()
        if UserRequest.CANCEL in asked:
            self.dispatch.ending = CANCELLED, "cancelled by the user"
        elif UserRequest.PAUSE in asked and not self.dispatch.pausing:
            self.dispatch.pause(PAUSED_BY_USER)
        yield from self._go_on(asked)

    def _go_on(self, asked: Set[UserRequest]) -> Iterator[Event]:
        """Ends a pause that the user asked for and has taken back."""
        dispatch = self.dispatch
        if dispatch.ending is None and dispatch.pausing == PAUSED_BY_USER and UserRequest.PAUSE not in asked:
            yield from dispatch.resume()
