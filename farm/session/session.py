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

from actors.interrupts import heard
from farm.estimates.remaining_work import RemainingWork
from farm.events import Event, JobFinished, JobPlanned, Notice, WorkerGone, to_record
from farm.session.choices import film_taken, plan_to_render
from farm.session.ending import SessionEnd
from farm.session.eviction import Evictions
from farm.session.films import Films
from farm.session.ledger import Ledger
from farm.session.made_with import film_events, kinds
from farm.session.meanwhile import Meanwhile
from farm.session.opening import Scope, first_state, foreseen, job_planned, require_renderable
from farm.session.results import Results
from farm.session.resuming import Known, Resumed, freeze, known_before, known_state, resumed
from farm.session.retrying import carry_out_asked
from farm.session.state_file import StateFile
from farm.specs.cautions import cautions
from farm.state.attempts import Holdings
from farm.state.fingerprint import require_choices
from farm.state.job_state import DONE, INTERRUPTED, STOPPED_EARLY, UNAPPROVED
from farm.state.locks import locked_results, read_locks
from farm.state.requests import requested_end
from farm.state.spec_origin import origin_of
from jobs.errors import CannotRun
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
        self._written = make_plan(loaded.spec, loaded.facts)
        self.plan = plan_to_render(self.store, self._written)
        self.ledger = Ledger(build_graph(self.plan), scope.until)
        self._report: Mapping[str, Any] = {}
        self.engine: Mapping[str, Any] = {}
        """The fingerprint of the software and models that the digests stand for."""
        self.holdings = Holdings()
        self._notices: list[Event] = []
        self._lock = self.store.lock()
        self._films = Films(self.plan, self.ledger, self.store, self._lock, self._notice)
        self._evictions = Evictions(self.store, self.check_lock)
        begun = first_state(self.store, self.plan, self.ledger, scope.topology, origin_of(loaded))
        self.state = StateFile(self.store, self._lock, begun)
        self.meanwhile = Meanwhile(self.store, self.plan, self.ledger, self.state)
        self.results = Results(
            self.store,
            self.ledger,
            self.state,
            self._films,
            self._evictions,
            self.record,
            keep_frames=self.plan.run.keep == "all",
        )
        self._ending = SessionEnd(self.store, self.state, self.ledger, self._films, self._evictions)
        self.requested_end: tuple[str, str] | None = None
        """Outcome and reason of a request that the driver before this one ended before it could act on."""
        self._resumed: Resumed | None = None

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
        before = known_state(store, self.scope.topology, on_purpose=resume)
        if not resume:
            self.requested_end = requested_end(store, self.scope.topology, before)
        if self.requested_end is not None:
            self.state.now = before or self.state.now
            return ""
        self._resumed = resumed(store, before, self.state.now, self.plan.job, self._spec_text, resume)
        self.state.now = self._resumed.now
        self.state.take_back_requests()
        self._notices += map(Notice, carry_out_asked(store))
        if self._notices:
            self._plan_again()
        self._films.take_over()
        store.mend_seeds()
        store.write_text(SPEC, self._spec_text)
        self._write_plan()
        self.state.write()
        store.backend.delete(REFUSED)
        return self._resumed.notice

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._films.close()
            self._evictions.close()
            if self._resumed is not None and self.state.running and self._lock.held:
                self._ending.write(INTERRUPTED, str(error or "") or heard() or "the driver stopped")
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
        self._report, self.engine = known.report, known.report["fingerprint"]
        today, locks = known.fingerprint(self.graph, self.plan), read_locks(self.store)
        self.ledger.resolve(today, locked_results(locks, self.plan, self.graph, today))
        self._films.software = kinds(locks, today, known.kept)
        self._freeze(known)
        if damage := self.results.survey():
            self._notice(damage)
        return True

    def planned(self) -> JobPlanned:
        """The opening event, once `resolve` has succeeded."""
        event = job_planned(self.store, self.plan, self.ledger, self.state.now.tasks.reused)
        return self.record(event)

    def take_in(self) -> Iterator[Event]:
        """Plans the job as people want it by now, as the next driver would: takes, seeds and prompts, chunks
        that are rendered again. The digests are known, and nothing runs; `todo` has what is left then."""
        self._films.wait()
        yield from self.delivered()
        self._evictions.wait()
        for said in carry_out_asked(self.store):
            yield self.record(Notice(said))
        self._plan_again()
        self._write_plan()
        self.resolve(self._report)
        yield self.planned()
        self.deliver_complete()

    def _plan_again(self) -> None:
        self.plan = plan_to_render(self.store, self._written)
        self.ledger.plan(build_graph(self.plan))
        self.meanwhile = Meanwhile(self.store, self.plan, self.ledger, self.state)
        self._films.plan(self.plan)
        self.state.change(failed=(), films=len(self.plan.outputs))

    def settle(self, task: str) -> Iterator[Event]:
        """What follows from a result that was taken."""
        self.results.settle(task)
        yield from self.delivered()

    def deliver_complete(self) -> None:
        """Hands over every film that is complete already: all of them on a second render."""
        self._films.start(self.state.now)

    def delivered(self) -> Iterator[Event]:
        """Films and previews finished since the last call, and notices. Raises StorageProblem where frames
        could not be evicted."""
        yield from self._news()
        self._evictions.check()
        self.state.write_sometimes()

    def _news(self) -> Iterator[Event]:
        while self._notices:
            yield self.record(self._notices.pop(0))
        for film, preview in self._films.finished():
            if not preview:
                self.plan = film_taken(self.store, self.state, self.plan, film)
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
        """Waits for films and evictions, settles `state.json` and gives the last event."""
        unsettled = self._ending.wait(outcome)
        yield from self._news()
        for said in self._ending.settle(outcome, reason, unsettled, self.plan.run.notify, self.meanwhile):
            yield self.record(Notice(said))
        yield self._finished()

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
        settled = UNAPPROVED if self.ledger.held else DONE
        return STOPPED_EARLY if self.scope.until else settled

    def _write_plan(self) -> None:
        self.store.save(PLAN_FORM, PlanFile(self.plan))

    def _freeze(self, known: Known) -> None:
        """Keeps what the digests stand for. Raises CannotRun where a job that is taken up from its run
        directory would be made of something else than before; it stays as it was."""
        assert self._resumed is not None
        try:
            if changed := freeze(self.store, self.plan, known, self.ledger, self._resumed):
                self._notice(changed)
        except CannotRun:
            self.state.now = self._resumed.before or self.state.now
            self.state.write()
            raise

    def _notice(self, message: str) -> None:
        self._notices.append(Notice(message))

    def _finished(self) -> JobFinished:
        ended = self.state.now
        return self.record(JobFinished(self.store.job_id, ended.outcome, ended.to_json()))
