"""One job while it renders: plan, graph, digests, store, state and events, whichever executor drives it.

An executor opens the session, gives it the engine's fingerprint where none is frozen yet (`resolve`), runs
what the ledger lists with the orders that it builds, reports each result (`results.take`, then `settle`) or
failure (`results.failed`), and ends with `finish`. The session never touches a tensor and knows neither
workers nor Ray.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from farm.estimates.remaining_work import RemainingWork
from farm.events import Event, JobFinished, JobPlanned, Notice, WorkerGone, to_record
from farm.notify import endings
from farm.session.choices import picked_since, plan_to_render, waits_for
from farm.session.eviction import Evictions
from farm.session.films import Films
from farm.session.ledger import Ledger
from farm.session.made_with import film_events, kinds
from farm.session.opening import Scope, first_state, foreseen, job_planned, require_renderable
from farm.session.results import Results
from farm.session.resuming import Known, Resumed, freeze, known_before, known_state, resumed
from farm.session.state_file import StateFile
from farm.specs.cautions import cautions
from farm.state.attempts import Holdings
from farm.state.fingerprint import require_choices
from farm.state.job_state import COMPUTED, DONE, INTERRUPTED, PAUSED, STOPPED_EARLY, UNAPPROVED, WaitingFor
from farm.state.locks import locked_results, read_locks
from farm.state.requests import requested_end
from farm.state.spec_origin import origin_of
from jobs.errors import CannotRun, StorageProblem
from jobs.file_digests import remember_beside
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.store.documents import REFUSED, SPEC
from jobs.store.store import Store
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.loading.load import LoadedSpec
    from jobs.tasks.task import TaskGraph

RecordedEvent = TypeVar("RecordedEvent", bound=Event)


class JobSession:
    """Use inside `with`: `begin` takes the job's lock, leaving gives it back and settles `state.json`."""

    def __init__(self, loaded: LoadedSpec, scope: Scope) -> None:
        self.scope = scope
        self._spec_text = loaded.text
        self._facts = loaded.facts
        self.store = Store.open(scope.runs_url, scope.job_id or loaded.spec.name)
        remember_beside(self.store.backend.path(""))
        self.plan = plan_to_render(self.store, make_plan(loaded.spec, loaded.facts))
        self.ledger = Ledger(build_graph(self.plan), scope.until)
        self.engine: Mapping[str, Any] = {}
        """The fingerprint of the software and models that the digests stand for."""
        self.holdings = Holdings()
        self._notices: list[Event] = []
        self._lock = self.store.lock()
        self._films = Films(self.plan, self.ledger, self.store, self._lock, self._notice)
        self._evictions = Evictions(self.store, self.check_lock)
        begun = first_state(self.store, self.plan, self.ledger, scope.topology, origin_of(loaded))
        self._state = StateFile(self.store, self._lock, begun)
        self.results = Results(
            self.store,
            self.ledger,
            self._state,
            self._films,
            self._evictions,
            self.record,
            keep_frames=self.plan.run.keep == "all",
        )
        self.requested_end: tuple[str, str] | None = None
        """Outcome and reason of a request that the driver before this one ended before it could act on."""
        self._resumed = Resumed(None, begun, "", as_it_was=False)

    def __enter__(self) -> JobSession:
        return self

    def begin(self) -> Iterator[Event]:
        """Takes the job's lock, telling what that waits for and what the spec is warned of; call it first,
        and finish at once where `requested_end` says how.

        Raises JobBusy, UsageError (a cancelled job, a film that would replace what this job did not write),
        and StoreUnusable where no film could be written.

        The log of a job is its holder's: what was said before is written when the lock is held.
        """
        require_renderable(self.store, self.plan, self.scope)
        notices = []
        for message in self._lock.taking():
            notices.append(Notice(message))
            yield notices[-1]
        for notice in notices:
            self.record(notice)
        if spec := self._take_up():
            yield self.record(Notice(spec))
        warnings = (f"warning: {caution}" for caution in cautions(self.plan, self._facts))
        for said in (*foreseen(self.store, self.plan, self.scope), *warnings):
            yield self.record(Notice(said))

    def _take_up(self) -> str:
        """What the run directory says from now on; returns which spec is rendered, where there are two."""
        store, resume = self.store, self.scope.resume
        before = known_state(store, resume)
        if not resume:
            self.requested_end = requested_end(store.job_id, store.runs_url, before, store.requests())
        if self.requested_end is not None:
            self._state.now = before or self._state.now
            return ""
        self._state.take_back_requests()
        self._films.take_over()
        self._resumed = resumed(store, before, self._state.now, self.plan.job, self._spec_text, resume)
        self._state.now = self._resumed.now
        store.mend_seeds()
        store.write_text(SPEC, self._spec_text)
        self._write_plan()
        self._state.write()
        store.backend.delete(REFUSED)
        return self._resumed.notice

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._films.close()
            self._evictions.close()
            if self._state.running and self._lock.held:
                self._settle_state(INTERRUPTED, str(error or "") or "the driver stopped")
                self._finished()
            self.store.flush_events()
        finally:
            self._lock.release()

    def resolve(self, report: Mapping[str, Any] | None = None) -> bool:
        """Fixes every digest and reads what the store holds. Call it first with None, then with a worker's
        report.

        None takes what an earlier render froze; False when there is nothing: start a worker and ask it.
        Raises CannotRun where the engine lacks a sampler or guider of the job.
        """
        known = Known(report) if report is not None else known_before(self.store, self.plan)
        if known is None:
            return False
        require_choices(self.graph, known.report)
        resolved = self.plan.resolve(known.report.get("modes", {}))
        if resolved != self.plan:
            # A second graph of a long film would cost the driver tens of megabytes.
            self.plan, self.ledger.graph = resolved, build_graph(resolved)
            self._write_plan()
        self.engine = known.report["fingerprint"]
        today, locks = known.fingerprint(self.graph, self.plan), read_locks(self.store)
        self.ledger.resolve(today, locked_results(locks, self.plan, self.graph, today))
        self._films.software = kinds(locks, today, known.kept)
        self._freeze(known)
        if damage := self.results.survey():
            self._notice(damage)
        return True

    def chose_topology(self, topology: str) -> None:
        """Notes on which topology the job renders, once `auto` is settled."""
        self._state.change(topology=topology)

    def waits(self, waiting: WaitingFor | None) -> None:
        """Notes that the job waits for its first worker, or no longer."""
        if waiting != self._state.now.waiting:
            self._state.change(waiting=waiting)
            self._state.write()

    def planned(self) -> JobPlanned:
        """The opening event, once `resolve` has succeeded."""
        event = job_planned(self.store, self.plan, self.ledger, self._state.now.tasks.reused)
        return self.record(event)

    def settle(self, task: str) -> Iterator[Event]:
        """What follows from a result that was taken."""
        self.results.settle(task)
        yield from self.delivered()

    def deliver_complete(self) -> None:
        """Hands over every film that is complete already: all of them on a second render."""
        self._films.start(self._state.now)

    def delivered(self) -> Iterator[Event]:
        """Films and previews finished since the last call, and notices. Raises StorageProblem where frames
        could not be evicted."""
        yield from self._news()
        self._evictions.check()
        self._state.write_sometimes()

    def _news(self) -> Iterator[Event]:
        while self._notices:
            yield self.record(self._notices.pop(0))
        for film, preview in self._films.finished():
            if not preview:
                self._state.now = self._state.now.with_film(film, self.plan.outputs)
            yield from map(self.record, film_events(film, preview))

    def mend(self) -> Iterator[Event]:
        """Call when all is computed: waits for the films. Where one met a damaged segment, the ledger lists
        what makes it again, and nothing else; usually `complete`."""
        self._films.wait()
        yield from self.delivered()
        if self._films.damaged:
            # What is made again must not go with what was evicted before.
            self._evictions.wait()
        self._films.remake()

    def finish(self, outcome: str, reason: str = "") -> Iterator[Event]:
        """Waits for films and evictions, settles `state.json` and gives the last event.

        An interrupted driver has seconds to live: its films are delivered by the next one.
        """
        unsettled = self._unsettled() if outcome != INTERRUPTED else None
        yield from self._news()
        problem = self._films.undelivered or unsettled
        if problem is not None and outcome in COMPUTED:
            outcome, reason = PAUSED, str(problem)
        if outcome in (UNAPPROVED, DONE):
            reason = waits_for(self.store, self.plan) or picked_since(self.store, self.plan)
        endings.prepare(self.store, self.plan.run.notify, outcome, self._state.now.tasks.committed > 0)
        self._settle_state(outcome, reason)
        if fault := endings.tell(self.store, self._state.now):
            yield self.record(Notice(fault))
        yield self._finished()

    def _unsettled(self) -> StorageProblem | None:
        """Waits for films, and for frames to be evicted; what kept some of these from it."""
        self._films.wait()
        try:
            self._evictions.wait()
        except StorageProblem as problem:
            return problem
        return None

    def record(self, event: RecordedEvent) -> RecordedEvent:
        """Appends the event to the run's log and gives it back."""
        now_s = time.time()
        self.holdings.apply(event, now_s)
        self.store.append_event(to_record(event, now_s))
        return event

    def gone(self, worker: str, reason: str) -> WorkerGone:
        """Records the end of a worker, and of all that it held."""
        return self.record(WorkerGone(worker, reason, self.holdings.lost_with(worker)))

    def check_lock(self) -> None:
        """Raises JobBusy once another driver took the job over."""
        self._lock.check()

    @property
    def graph(self) -> TaskGraph:
        """The job's tasks."""
        return self.ledger.graph

    @property
    def remaining_work(self) -> RemainingWork:
        """What has to be computed, as `auto` takes it."""
        tasks = tuple(self.graph.tasks[name] for name in self.ledger.left)
        return RemainingWork(self.plan.engine, self.plan.run, tasks, self.scope.runs_url)

    @property
    def complete(self) -> bool:
        """Nothing is left to compute."""
        return not self.ledger.todo

    @property
    def final_outcome(self) -> str:
        """How the job ends when every task in scope is committed."""
        settled = UNAPPROVED if waits_for(self.store, self.plan) else DONE
        return STOPPED_EARLY if self.scope.until else settled

    def _write_plan(self) -> None:
        self.store.save(PLAN_FORM, PlanFile(self.plan))

    def _freeze(self, known: Known) -> None:
        """Keeps what the digests stand for. Raises CannotRun where a job that is taken up from its run
        directory would be made of something else than before; it stays as it was."""
        try:
            if changed := freeze(self.store, self.plan, known, self.ledger, self._resumed.as_it_was):
                self._notice(changed)
        except CannotRun:
            self._state.now = self._resumed.before or self._state.now
            self._state.write()
            raise

    def _notice(self, message: str) -> None:
        self._notices.append(Notice(message))

    def _settle_state(self, outcome: str, reason: str) -> None:
        self._state.end(outcome, reason, self._state.now.exact and self.ledger.exact)

    def _finished(self) -> JobFinished:
        ended = self._state.now
        return self.record(JobFinished(self.store.job_id, ended.outcome, ended.to_json()))
