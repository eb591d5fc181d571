"""What people choose while the job renders reaches it: approvals at once, another plan as soon as nothing
runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from farm.events import Event, Notice
from farm.scheduler import events
from farm.state.job_state import FAILED, PARTIAL
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.execution.dispatch import Dispatch

POLL_S = 2.0
BECAUSE = "the job is planned anew"


class Choosing:
    """Looked at once a turn, and when all is computed. `schedule` begins to hand out what the ledger lists,
    and is given the reason."""

    def __init__(self, dispatch: Dispatch, schedule: Callable[[str], None]) -> None:
        self.dispatch, self._schedule = dispatch, schedule
        self._polled_s = 0.0
        self._waits = False

    def look(self, now_s: float, busy: bool) -> Iterator[Event]:
        """Takes in what was chosen; `busy` is whether any worker is."""
        if self.dispatch.scheduler is None or self.dispatch.ending is not None:
            return
        if now_s - self._polled_s >= POLL_S:
            self._polled_s = now_s
            yield from self._poll()
        if self._waits:
            # Not for good: a pause that is taken back lets the scheduler go on.
            self.dispatch.handle(events.Pause(BECAUSE))
            if not busy:
                self._waits = False
                yield from self._plan_again()

    def look_at_the_end(self) -> Iterator[Event]:
        """The same where all is computed and nothing runs."""
        session, dispatch = self.dispatch.session, self.dispatch
        assert dispatch.ending is not None
        self._waits = False
        if session.meanwhile.plan_changes:
            dispatch.ending = dispatch.computed = None
            yield from self._plan_again()
        elif free := session.meanwhile.approved():
            dispatch.computed = dispatch.ending if dispatch.ending[0] in (PARTIAL, FAILED) else None
            dispatch.ending, session.ledger.todo = None, free
            yield session.record(approved(free))
            self._schedule(BECAUSE)

    def _poll(self) -> Iterator[Event]:
        session = self.dispatch.session
        if not self._waits and session.meanwhile.plan_changes:
            self._waits = True
            yield session.record(Notice(f"{BECAUSE} as people want it: what runs is finished first"))
        if not self._waits and (free := session.meanwhile.approved()):
            yield session.record(approved(free))
            yield from self.dispatch.reopen(free)

    def _plan_again(self) -> Iterator[Event]:
        dispatch = self.dispatch
        for task in dispatch.pool.shared():
            dispatch.pool.drop(task)
        yield from dispatch.session.take_in()
        if dispatch.session.complete:
            dispatch.ending = dispatch.session.final_outcome, ""
        else:
            self._schedule(BECAUSE)


def approved(tasks: list[str]) -> Notice:
    """What is said of tasks that wait no longer."""
    return Notice(f"approved: {amount(len(tasks), 'task')} waited for that, and may be rendered now")
