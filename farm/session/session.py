"""One job while it renders: plan, graph, digests, store, state and events, whichever executor drives it.

An executor opens the session, gives it the engine's fingerprint where none is frozen yet (`resolve`), runs
what the ledger lists with the orders that it builds, reports each result (`take`, then `settle`) or failure
(`failed`), and ends with `finish`. The session never touches a tensor and knows neither workers nor Ray.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from farm.estimates.durations import Durations, keep_durations
from farm.estimates.remaining_work import RemainingWork
from farm.events import (
    Event,
    FilmDelivered,
    JobFinished,
    JobPlanned,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskSuperseded,
    WorkerGone,
    to_record,
)
from farm.output.delivery import Delivery
from farm.output.ownership import refuse_foreign_outputs, require_output
from farm.session.eviction import Evictions
from farm.session.ledger import Ledger
from farm.specs.cautions import cautions
from farm.state.attempts import Holdings
from farm.state.fingerprint import (
    DIGESTS_FORM,
    changed_since,
    frozen_now,
    frozen_report,
    job_fingerprint,
    require_samplers,
)
from farm.state.job_state import (  # fmt: skip
    COMPUTED,
    DONE,
    INTERRUPTED,
    PAUSED,
    RUNNING,
    STATE_FORM,
    STOPPED_EARLY,
    FailedTask,
    FilmState,
    JobState,
    TaskCounts,
    WaitingFor,
    read_state,
)
from farm.state.progress import split_task
from farm.state.requests import ANSWERED, require_not_cancelled, require_ours, standing
from farm.state.spec_origin import origin_of, which_spec
from jobs.commands import render_command
from jobs.errors import CannotRun, CorruptArtifact, DamagedDocument, StageError, StorageProblem
from jobs.failures import CORRUPT_INPUT_CAP
from jobs.file_digests import remember_beside
from jobs.loading.load import LoadedSpec
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan, reseeded
from jobs.store.documents import REFUSED, SPEC, Request
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph
from jobs.wording import amount

if TYPE_CHECKING:
    from actors.worker.worker import TaskResult

STATE_INTERVAL_S = 2.0

RecordedEvent = TypeVar("RecordedEvent", bound=Event)


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a job renders and how far: `runs_url` holds the run directories, `until` ends after that
    stage, `resume` takes a cancelled job up again."""

    runs_url: str
    job_id: str | None = None
    until: Stage | None = None
    topology: str = "serial"
    resume: bool = False


class JobSession:
    """Use inside `with`: `begin` takes the job's lock, leaving gives it back and settles `state.json`."""

    def __init__(self, loaded: LoadedSpec, scope: Scope) -> None:
        self.scope = scope
        self._spec_text = loaded.text
        self._facts = loaded.facts
        self.store = Store.open(scope.runs_url, scope.job_id or loaded.spec.name)
        remember_beside(self.store.backend.path(""))
        self.plan = reseeded(make_plan(loaded.spec, loaded.facts), self.store.seed_overrides())
        self.ledger = Ledger(build_graph(self.plan), scope.until)
        self.engine: Mapping[str, Any] = {}
        """The fingerprint of the software and models that the digests stand for."""
        self.holdings = Holdings()
        self._notices: list[Event] = []
        self._lock = self.store.lock()
        self._delivery = Delivery(self.plan, self.graph, self.store, self._lock.confirm, self._notice)
        self._evictions = Evictions(self.store, self.check_lock)
        self._state = JobState(
            job=self.store.job_id,
            topology=scope.topology,
            started_s=time.time(),
            tasks=TaskCounts(total=len(self.ledger.scoped)),
            films=len(self.plan.videos),
            spec=origin_of(loaded),
        )
        self.standing: tuple[str, str] | None = None
        """Outcome and reason of a request that the driver before this one did not live to heed."""
        self._as_it_was = False
        """The job is taken up from its run directory, and its spec is the one that is stored there."""
        self._before: JobState | None = None
        self._undelivered: StageError | None = None
        self._decayed: list[str] = []
        self._mends = 0
        self._written_s = 0.0

    def __enter__(self) -> JobSession:
        return self

    def begin(self) -> Iterator[Event]:
        """Takes the job's lock, telling what that waits for and what the spec is warned of; call it first,
        and finish at once where `standing` says how.

        Raises JobBusy, UsageError (a cancelled job, a film that would replace what this job did not write),
        and StoreUnusable where no film could be written.

        The log of a job is its holder's: what was told before is written when the lock is held.
        """
        require_ours(self.store)
        if not self.scope.resume:
            require_not_cancelled(self.store.job_id, self.scope.runs_url, self._known())
        refuse_foreign_outputs(self.plan, self.store)
        if self.scope.until is None:
            require_output(self.plan, self.store)
        told = []
        for message in self._lock.taking():
            told.append(Notice(message))
            yield told[-1]
        for notice in told:
            self.record(notice)
        if spec := self._take_up():
            yield self.record(Notice(spec))
        for warning in cautions(self.plan, self._facts):
            yield self.record(Notice(f"warning: {warning}"))

    def _take_up(self) -> str:
        """What the run directory says from now on; returns which spec is rendered, where there are two."""
        known = self._known()
        if not self.scope.resume:
            self.standing = standing(self.store.job_id, self.store.runs_url, known, self.store.requests())
        if self.standing is not None:
            self._state = known or self._state
            return ""
        self._take_back(Request)
        self._delivery.take_over()
        stored, self._before = self.store.read_text(SPEC), known
        before, now = known.spec if known else None, self._state.spec
        again = partial(render_command, self.store.job_id, self.plan.job, self.store.runs_url)
        told = which_spec(stored == self._spec_text if stored else None, now, before, again)
        from_run = now is None and stored == self._spec_text
        self._as_it_was, kept = self.scope.resume and from_run, before if from_run else now
        self._state = replace(self._state, videos=known.videos if known else (), spec=kept)
        self.store.mend_seeds()
        self.store.write_text(SPEC, self._spec_text)
        self._write_plan()
        self._write_state()
        self.store.backend.delete(REFUSED)
        return told

    def _known(self) -> JobState | None:
        """How the job stood. Raises DamagedDocument, unless it is taken up on purpose, whatever it was."""
        try:
            return read_state(self.store)
        except DamagedDocument:
            if self.scope.resume:
                return None
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._delivery.close()
            self._evictions.close()
            if self._state.outcome == RUNNING and self._lock.held:
                self._end(INTERRUPTED, str(error) if error and str(error) else "the driver stopped")
            self.store.flush_events()
        finally:
            self._lock.release()

    def resolve(self, report: Mapping[str, Any] | None = None) -> bool:
        """Fixes every digest and reads what the store holds. Call it first with None, then with a worker's
        report.

        None takes what an earlier render froze; False when there is nothing: start a worker and ask it.
        Raises CannotRun where the engine lacks a sampler of the job.
        """
        report = frozen_report(self.store, self.plan) or report
        if report is None:
            return False
        require_samplers(self.graph, report.get("samplers", ()))
        resolved = self.plan.resolve(report.get("modes", {}))
        if resolved != self.plan:
            # A second graph of a long film would cost the driver tens of megabytes.
            self.plan, self.ledger.graph = resolved, build_graph(resolved)
            self._write_plan()
        self.engine = report["fingerprint"]
        self.ledger.resolve(job_fingerprint(self.graph, self.engine))
        self._freeze(report)
        self._survey()
        return True

    def arranged(self, topology: str) -> None:
        """Notes on which topology the job renders, once `auto` is settled."""
        self._state = replace(self._state, topology=topology)

    def waits(self, waiting: WaitingFor | None) -> None:
        """Notes that the job waits for its first worker, or no longer."""
        if waiting != self._state.waiting:
            self._state = replace(self._state, waiting=waiting)
            self._write_state()

    def planned(self) -> JobPlanned:
        """The opening event, once `resolve` has succeeded."""
        totals: dict[str, Counter[str]] = {}
        done: dict[str, Counter[str]] = {}
        waiting = self.ledger.waiting
        for name in self.ledger.scoped:
            video, _, stage = split_task(name)
            totals.setdefault(video, Counter())[stage] += 1
            done.setdefault(video, Counter())[stage] += name not in waiting
        event = JobPlanned(
            job=self.store.job_id,
            run_dir=self.store.url,
            videos=tuple(video.name for video in self.plan.videos),
            frames=self.plan.frames,
            tasks=len(self.ledger.scoped),
            reused=self._state.tasks.reused,
            totals={video: dict(stages) for video, stages in totals.items()},
            done={video: dict(stages) for video, stages in done.items()},
        )
        return self.record(event)

    def take(self, result: TaskResult, worker: str, attempt: int) -> Iterator[TaskCommitted | TaskSuperseded]:
        """Takes a committed result, for the task and its twins: it counts, and orders may name it. `settle`
        follows. One that is here already counts once."""
        family = self.ledger.keep(result.task, result.commit)
        if not family:
            yield self.record(TaskSuperseded(result.task, worker, attempt))
            return
        counts = self._state.tasks
        self._state = replace(
            self._state,
            tasks=replace(counts, committed=counts.committed + 1, retried=counts.retried + (attempt > 1)),
        )
        exact = self.ledger.is_exact(result.task)
        for task in family:
            seconds = result.seconds if task == result.task else 0.0
            yield self.record(TaskCommitted(task, worker, attempt, seconds, result.commit.size, exact))

    def settle(self, task: str) -> Iterator[Event]:
        """What follows from a result that was taken: gives up frames nobody needs, hands complete films to
        delivery."""
        for twin in self.ledger.twins.family(task):
            self._retire(twin)
            self._delivery.committed(twin, self.ledger.commits)
        yield from self.delivered()

    def failed(self, failure: TaskFailed, given_up: bool) -> TaskFailed:
        """Takes a failed attempt; with `given_up` the task counts as failed in `state.json`, and its
        twins."""
        if given_up:
            family = self.ledger.twins.family(failure.task)
            lost = [FailedTask(task, failure.kind, failure.message) for task in family]
            self._state = replace(self._state, failed=(*self._state.failed, *lost))
        return self.record(failure)

    def lose(self, task: str) -> None:
        """Forgets a commit whose artifact turned out damaged; it has to be rendered again."""
        self.store.void([self.ledger.digests[task]])
        self.ledger.forget(task)

    def deliver_complete(self) -> None:
        """Hands over every film that is complete already: all of them on a second render."""
        self._delivery.start(self.ledger.commits, self._state)

    def delivered(self) -> Iterator[Event]:
        """Films and previews finished since the last call, and notices. Raises StorageProblem where frames
        could not be given up."""
        yield from self._news()
        self._evictions.check()
        self._write_state_sometimes()

    def _news(self) -> Iterator[Event]:
        while self._notices:
            yield self.record(self._notices.pop(0))
        for film, preview in self._finished_films():
            if not preview:
                film = replace(film, exact=self.ledger.is_exact_film(film.name))
                self._state = self._state.with_film(film, [video.name for video in self.plan.videos])
            yield self.record(
                FilmDelivered(film.name, film.path, film.sha256, film.frames, film.fps, preview)
            )

    def mend(self) -> Iterator[Event]:
        """Call when all is computed: waits for the films. Where one met a damaged segment, the ledger lists
        what makes it again, and nothing else; `complete` as a rule."""
        self._delivery.wait(self.check_lock)
        yield from self.delivered()
        if self._decayed:
            # What is made again must not go with what was given up before.
            self._evictions.wait()
        self.ledger.remake(self._decayed)
        self._mends += bool(self._decayed)
        self._decayed = []

    def finish(self, outcome: str, reason: str = "") -> Iterator[Event]:
        """Waits for films and evictions, settles `state.json` and gives the last event.

        An interrupted driver has seconds to live: its films are delivered by the next one.
        """
        unsettled = self._unsettled() if outcome != INTERRUPTED else None
        yield from self._news()
        problem = self._undelivered or unsettled
        if problem is not None and outcome in COMPUTED:
            outcome, reason = PAUSED, str(problem)
        yield self._end(outcome, reason)

    def _unsettled(self) -> StorageProblem | None:
        """Waits for films, and for frames to be given up; what kept some of these from it."""
        self._delivery.wait(self.check_lock)
        try:
            self._evictions.wait()
        except StorageProblem as problem:
            return problem
        return None

    def keep(self, measured: Durations) -> None:
        """Puts measured durations beside the runs; nothing is written where the run directory went away."""
        with suppress(StorageProblem):
            if self.store.exists():
                keep_durations(self.scope.runs_url, measured)

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
        return STOPPED_EARLY if self.scope.until else DONE

    def _write_plan(self) -> None:
        self.store.save(PLAN_FORM, PlanFile(self.plan))

    def _freeze(self, report: Mapping[str, Any]) -> None:
        """Keeps what the digests stand for. Raises CannotRun where a job that is taken up from its run
        directory would be made of something else than before; it stays as it was."""
        now = frozen_now(self.plan, report, self.ledger.digests)
        if changed := changed_since(self.store, now):
            told = f"job {self.store.job_id} was {changed}"
            if self._as_it_was:
                self._state = self._before or self._state
                self._write_state()
                raise CannotRun(f"{told}. {self._anew()}")
            self._notice(f"{told}; what depends on that is made again")
        self.store.save(DIGESTS_FORM, now)

    def _anew(self) -> str:
        again = render_command(self.store.job_id, self.plan.job, self.store.runs_url)
        return (
            "Resumed here, all that depends on that would be made again, and films replaced: resume it where "
            f"it was begun, or `{again} --resume` renders it anew."
        )

    def _survey(self) -> None:
        """Reads the store once: what counts, what is damaged, what is left to do."""
        checked = self.store.check()
        if checked.damage:
            self.store.void(digest for digest, _ in checked.damage)
            self._notice(f"{amount(len(checked.damage), 'damaged artifact')} discarded and rendered again")
        self.store.sweep(checked)
        for task in self.ledger.survey(checked.commits, self.store.evicted()):
            self._retire(task)
        scoped, todo = self.ledger.scoped, set(self.ledger.todo)
        reused = len(scoped) - len(todo.intersection(scoped))
        self._state = replace(self._state, tasks=TaskCounts(total=len(scoped), reused=reused))

    def _retire(self, task: str) -> None:
        """Gives up decoded frames once every segment that shows them is committed."""
        if self.plan.run.keep != "all":
            for commit in self.ledger.retire(task):
                self._evictions.add(commit)

    def _finished_films(self) -> Iterator[tuple[FilmState, bool]]:
        """What delivery finished.

        A film that the storage refuses pauses the job at its end; nothing is lost.
        """
        while True:
            try:
                yield from self._delivery.finished()
                return
            except CorruptArtifact as problem:
                self._lose_segment(problem)
            except StageError as problem:
                self._undelivered = problem
                self._notice(f"a film could not be delivered: {problem}")

    def _lose_segment(self, problem: CorruptArtifact) -> None:
        """A segment is damaged: `mend` has it made again, until the medium cannot be trusted. A preview and
        the film may both have met it."""
        if any(self.ledger.digests[task] == problem.digest for task in self._decayed):
            return
        self._notice(f"a film waits: {problem}")
        self.store.void([problem.digest])
        lost = self.ledger.forget_artifact(problem.digest)
        for task in lost:
            self._delivery.reopen(task)
        if lost and self._mends < CORRUPT_INPUT_CAP:
            self._decayed += lost
        else:
            self._undelivered = problem

    def _notice(self, message: str) -> None:
        self._notices.append(Notice(message))

    def _end(self, outcome: str, reason: str) -> JobFinished:
        exact = self._state.exact and self.ledger.exact
        ended = replace(self._state, outcome=outcome, reason=reason, ended_s=time.time())
        self._state = replace(ended, exact=exact, waiting=None)
        try:
            self._write_state()
        except StorageProblem as problem:
            # Nobody can read it there: the event has to say it.
            if outcome not in (PAUSED, INTERRUPTED):
                self._state = replace(self._state, outcome=PAUSED, reason=str(problem))
            outcome = self._state.outcome
        else:
            with suppress(StorageProblem):
                self._take_back(ANSWERED.get(outcome, ()))
        return self.record(JobFinished(self.store.job_id, outcome, self._state.to_json()))

    def _write_state(self) -> None:
        """Raises JobBusy where the job is somebody else's by now, and how it stands is theirs to say."""
        self._lock.confirm()
        self.store.save(STATE_FORM, self._state)
        self._written_s = time.monotonic()

    def _take_back(self, requests: Iterable[Request]) -> None:
        for request in requests:
            self.store.clear_request(request)

    def _write_state_sometimes(self) -> None:
        if time.monotonic() - self._written_s >= STATE_INTERVAL_S:
            self._write_state()
