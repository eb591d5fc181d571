"""Films of a job on their way out, and what becomes of segments that turned out damaged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.output.delivery import Delivery
from farm.session.made_with import Kind, made_with
from jobs.errors import CorruptArtifact, StageError
from jobs.failures import CORRUPT_INPUT_CAP

if TYPE_CHECKING:
    from farm.events import MadeWith
    from farm.session.ledger import Ledger
    from farm.state.job_state import FilmState, JobState
    from jobs.planning.planned import Plan
    from jobs.store.lock import JobLock
    from jobs.store.store import Store


class Films:
    """Hands commits to delivery and takes films from it. A film that met a damaged segment waits until that
    is made again (`remake`); `undelivered` keeps a film for good: it pauses the job at its end."""

    def __init__(
        self, plan: Plan, ledger: Ledger, store: Store, lock: JobLock, tell: Callable[[str], None]
    ) -> None:
        self.undelivered: StageError | None = None
        self.damaged: list[str] = []
        """Segments that have to be made again."""
        self.software: Sequence[Kind] = ()
        """What locked results, and last those of today, are made with."""
        self._plan, self._ledger, self._store, self._lock, self._tell = plan, ledger, store, lock, tell
        self._delivery = Delivery(plan, ledger.graph, store, lock.confirm, tell, self._made_with)
        self._remakes = 0

    def plan(self, plan: Plan) -> None:
        """Begins anew, with the films of another plan; nothing is being delivered."""
        self._plan, self.damaged = plan, []
        self.undelivered, self._remakes = None, 0
        self._delivery.plan(plan, self._ledger.graph)

    def take_over(self) -> None:
        """Clears away what earlier drivers left unfinished; the job's lock is held."""
        self._delivery.take_over()

    def start(self, state: JobState) -> None:
        """Hands over every film that is complete already: all of them on a second render."""
        self._delivery.start(self._ledger.commits, state)

    def committed(self, task: str) -> None:
        """Takes one more committed task."""
        self._delivery.committed(task, self._ledger.commits)

    def finished(self) -> Iterator[tuple[FilmState, bool]]:
        """Films, and previews (True), that were finished since the last call."""
        while True:
            try:
                for film, preview in self._delivery.finished():
                    yield film if preview else self._described(film), preview
                return
            except CorruptArtifact as problem:
                self._lose_segment(problem)
            except StageError as problem:
                self.undelivered = problem
                self._tell(f"a film could not be delivered: {problem}")

    def _described(self, film: FilmState) -> FilmState:
        """The film with what is known of its bytes."""
        exact = self._ledger.is_exact_film(film.name)
        return replace(film, exact=exact, made_with=self._made_with(film.name))

    def _made_with(self, video: str) -> tuple[MadeWith, ...]:
        return made_with(self._plan, video, self._ledger, self.software)

    def remake(self) -> None:
        """Makes the ledger list what it takes to have the damaged segments again, and nothing else."""
        self._ledger.remake(self.damaged)
        self._remakes += bool(self.damaged)
        self.damaged = []

    def wait(self) -> None:
        """Returns when nothing is being delivered. Raises JobBusy once another driver has the job."""
        self._delivery.wait(self._lock.check)

    def close(self) -> None:
        """Ends delivery; what it has begun is finished."""
        self._delivery.close()

    def _lose_segment(self, problem: CorruptArtifact) -> None:
        """A segment is damaged: it is made again, until the medium cannot be trusted. A preview and the film
        may both have met it."""
        if any(self._ledger.digests[task] == problem.digest for task in self.damaged):
            return
        self._tell(f"a film waits: {problem}")
        self._store.void([problem.digest])
        lost = self._ledger.forget_artifact(problem.digest)
        for task in lost:
            self._delivery.reopen(task)
        if lost and self._remakes < CORRUPT_INPUT_CAP:
            self.damaged += lost
        else:
            self.undelivered = problem
