"""What people choose while the job renders: approvals, which let held tasks go on at once, and what asks for
another plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.errors import DamagedDocument, StorageProblem
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.session.ledger import Ledger
    from farm.session.state_file import StateFile
    from jobs.planning.planned import Plan
    from jobs.store.store import Store


class Meanwhile:
    """Looks at the run directory for what was chosen since the job was planned; meant for polling."""

    def __init__(self, store: Store, plan: Plan, ledger: Ledger, state: StateFile) -> None:
        self._store, self._ledger, self._state = store, ledger, state
        self._asks = plan.run.approve is not None
        self._takes = {
            (take.video, take.name, take.number): take.picked
            for take in (video.take for video in plan.videos)
            if take
        }
        ledger.seen = store.approvals() if self._asks else None

    @property
    def plan_changes(self) -> bool:
        """Whether chunks are to be rendered again, or another take is picked: see `JobSession.take_in`."""
        return bool(self._store.asked_retries()) or self._picked_otherwise()

    def approved(self) -> list[str]:
        """The tasks that wait no longer, without those that need a quarantined one."""
        free = self._ledger.approve(self._store.approvals()) if self._asks else []
        blocked = self._ledger.graph.closure(failed.task for failed in self._state.now.failed)
        return [task for task in free if task not in blocked]

    def late(self) -> str:
        """What nobody takes in who renders the job now, in words; empty where nothing was chosen."""
        try:
            asked, free = len(self._store.asked_retries()), len(self.approved())
        except StorageProblem:
            return ""  # It stands, and the next driver sees it.
        said = [
            f"{amount(asked, 'request')} of farm retry" if asked else "",
            "another take" if self._picked_otherwise() else "",
            f"approval of {amount(free, 'task')}" if free else "",
        ]
        named = ", ".join(filter(None, said))
        return f"chosen too late for this render: {named}" if named else ""

    def _picked_otherwise(self) -> bool:
        try:
            picks = self._store.picks() if self._takes else {}
        except (StorageProblem, DamagedDocument):
            return False  # The next driver says so.
        return any(
            (picks.get((film, shot), 1) == number) != picked
            for (film, shot, number), picked in self._takes.items()
        )
