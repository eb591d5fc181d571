"""How a job ends: films and evictions are waited for, `state.json` is settled, receivers are notified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.notify import endings
from farm.session.choices import waits_for
from farm.state.job_state import COMPUTED, DONE, FAILED, INTERRUPTED, PAUSED, UNAPPROVED
from jobs.commands import resume_command
from jobs.errors import StorageProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.session.eviction import Evictions
    from farm.session.films import Films
    from farm.session.ledger import Ledger
    from farm.session.meanwhile import Meanwhile
    from farm.session.state_file import StateFile
    from jobs.store.store import Store


class SessionEnd:
    """Ends one job. An interrupted driver has seconds to live: its films are delivered by the next one."""

    def __init__(
        self, store: Store, state: StateFile, ledger: Ledger, films: Films, evictions: Evictions
    ) -> None:
        self._store, self._state, self._ledger = store, state, ledger
        self._films, self._evictions = films, evictions

    def wait(self, outcome: str) -> StorageProblem | None:
        """Waits for films, and for frames to be evicted; what kept some of these from it."""
        if outcome == INTERRUPTED:
            return None
        self._films.wait()
        try:
            self._evictions.wait()
        except StorageProblem as problem:
            return problem
        return None

    def settle(
        self,
        outcome: str,
        reason: str,
        unsettled: StorageProblem | None,
        notify: str | None,
        meanwhile: Meanwhile,
    ) -> Iterator[str]:
        """Writes how the job ends, unless what is `unsettled`, or a film, keeps it from being what it was
        computed to be; what is to be said of it. `notify` is the label of who hears of it.

        What was chosen while films were waited for is the next driver's, and the reason says so.
        """
        problem = self._films.undelivered or unsettled
        if problem is not None and outcome in COMPUTED:
            outcome, reason = PAUSED, str(problem)
        endings.prepare(self._store, notify, outcome, self._state.now.tasks.committed > 0)
        self.write(outcome, self._reason(outcome, reason))
        # Whoever asks from here on sees that the job has ended.
        if outcome in (*COMPUTED, FAILED) and (late := meanwhile.late()):
            again = resume_command(self._store.job_id, self._store.runs_url, self._state.now.topology)
            said = self._reason(outcome, reason), f"{late}: `{again}` takes it up"
            self.write(outcome, "; ".join(filter(None, said)))
        if fault := endings.tell(self._store, self._state.now):
            yield fault

    def _reason(self, outcome: str, reason: str) -> str:
        return waits_for(self._store, self._ledger.held) if outcome in (UNAPPROVED, DONE) else reason

    def write(self, outcome: str, reason: str) -> None:
        """Writes it into `state.json`."""
        self._state.end(outcome, reason, self._state.now.exact and self._ledger.exact)
