"""The reference executor: one process, one worker that hosts every stage, tasks in plan order, after the
prompts where the text encoder has no room beside the other models.

What it makes is the measure: every topology on Ray has to give the same bytes.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

from farm.estimates.durations import Durations, Hardware, TaskTimes, keep_measured
from farm.events import Event, Notice, TaskFailed, TaskStarted, WorkerPlaced, WorkerReady
from farm.execution.choosing import POLL_S, approved
from farm.session.session import JobSession
from farm.state.fingerprint import difference
from farm.state.job_state import CANCELLED, FAILED, PARTIAL, PAUSED, PAUSED_BY_USER
from farm.topology.memory import engine_footprint
from farm.topology.memory_said import streams_said
from farm.topology.model_sizes import sizes_known
from jobs.commands import SERIAL, job_command, resume_command
from jobs.errors import CannotRun, CorruptArtifact, FailureKind, StageError, StorageProblem
from jobs.failures import Action, Failure, Verdict, decide
from jobs.planning.params import EncodeText
from jobs.store.documents import UserRequest
from jobs.tasks.task import Stage
from jobs.wording import amount

if TYPE_CHECKING:
    from actors.worker.worker import StageWorker
    from farm.session.opening import Scope
    from farm.topology.candidates import Footprint
    from jobs.loading.load import LoadedSpec

WORKER = "serial"
GIB = 2**30


def render_serial(loaded: LoadedSpec, scope: Scope) -> Generator[Event, None, None]:
    """Renders the job in this process and yields its events; the last one is `JobFinished`.

    Raises CannotRun (environment), JobBusy (another driver holds the job), SpecError (a file that vanished)
    and UsageError (a cancelled job).
    """
    with JobSession(loaded, scope) as session:
        yield from session.begin()
        if session.requested_end is not None:
            yield from session.finish(*session.requested_end)
            return
        yield from _SerialRender(session).run()


class _SerialRender:
    def __init__(self, session: JobSession) -> None:
        self.session, self.ledger = session, session.ledger
        self.worker: StageWorker | None = None
        self.failures: dict[str, list[Failure]] = {}
        self.attempts: dict[str, int] = {}
        self.quarantined: set[str] = set()
        self.queue: deque[str] = deque()
        self.ended: tuple[str, str] | None = None
        self.place: Hardware | None = None
        self.exact = True
        self.polled_s = 0.0
        self.measured = Durations()

    def run(self) -> Iterator[Event]:
        try:
            yield from self._render()
        except StorageProblem as problem:
            self.ended = PAUSED, str(problem)
        if self.worker is not None:
            self.worker.destroy()
            keep_measured(self.session.store, self.measured)
        yield from self.session.finish(*(self.ended or self._outcome()))

    def _render(self) -> Iterator[Event]:
        session = self.session
        if not session.resolve():
            yield from self._start_worker()
        yield session.planned()
        session.deliver_complete()
        yield from session.delivered()
        self.queue.extend(self._todo())
        yield from self._work()
        while self.ended is None:
            yield from session.mend()
            self.queue.extend(self._todo())
            if session.complete:
                yield from self._choices()
            if not self.queue:
                break
            yield from self._work()

    def _work(self) -> Iterator[Event]:
        if self.queue and self.worker is None:
            yield from self._start_worker()
        while self.queue and not self._asked_to_stop():
            yield from self._step(self.queue.popleft())
            self.session.check_lock()
            if time.monotonic() - self.polled_s >= POLL_S:
                yield from self._choices()

    def _choices(self) -> Iterator[Event]:
        """What people chose since this was looked at last."""
        self.polled_s = time.monotonic()
        if self.session.meanwhile.plan_changes:
            yield from self.session.take_in()
            self.queue = deque(self._todo())
            self.quarantined.clear()
            self.failures.clear()
            self.attempts.clear()
        elif free := self.session.meanwhile.approved():
            yield self.session.record(approved(free))
            self.queue.extendleft(reversed(free))

    def _start_worker(self) -> Iterator[Event]:
        from actors.worker.order import WorkerConfig
        from actors.worker.worker import StageWorker

        session, run = self.session, self.session.plan.run
        streamed = self._needs.streamed if self._needs else {}
        self.place = Hardware(session.plan.engine, _device(session.plan.engine.name), streamed)
        stages = self.ledger.graph.stages
        if said := streams_said(self._needs):
            yield session.record(Notice(said))
        yield session.record(
            WorkerPlaced(WORKER, "this process", tuple(stage.value for stage in Stage if stage in stages))
        )
        config = WorkerConfig(
            engine=session.plan.engine,
            stages=frozenset(stages),
            device=self.place.device,
            threads=run.threads,
            runs_url=session.scope.runs_url,
            job_id=session.store.job_id,
            verify=run.verify,
            worker=WORKER,
            prompts_first=self._prompts_first,
            streamed=frozenset(streamed),
        )
        self.worker = StageWorker(config)
        report = self.worker.setup()
        yield session.record(WorkerReady(WORKER, report["device"], report["setup_s"]))
        if not self.ledger.digests:
            session.resolve(report)
        elif unlike := difference(report, session.engine):
            if not run.mixed_compute:
                lock = job_command("lock", session.store.job_id, session.scope.runs_url)
                raise CannotRun(
                    f"this machine would make other bytes than the job has: {unlike}. Use an equal one, "
                    f"`{lock}` to keep what is committed and make the rest here, set run.mixed_compute: "
                    "true, or give the job another name with --job-id"
                )
            self.exact = False

    @cached_property
    def _needs(self) -> Footprint | None:
        """The memory of the device that is used, and what models need of it; None where one is unknown."""
        engine = self.session.plan.engine
        device_gib = _memory_gib(_device(engine.name)) if sizes_known(engine) else None
        tasks = self.ledger.graph.tasks.values()
        return None if device_gib is None else engine_footprint(engine, tasks, device_gib)

    @property
    def _prompts_first(self) -> bool:
        """Whether the text encoder has no room on this machine's device beside the other models."""
        needs = self._needs
        return needs is not None and needs.at_once_gib(self.ledger.graph.stages) > needs.device_gib

    def _order(self) -> str:
        if self._prompts_first:
            return "prompts first, as the text encoder has no room beside the other models; then plan order"
        return "plan order"

    def _todo(self) -> list[str]:
        """What is to be computed, in the order in which it is."""
        if not self.ledger.todo or not self._prompts_first:
            return list(self.ledger.todo)
        tasks = self.ledger.graph.tasks
        return sorted(self.ledger.todo, key=lambda task: not isinstance(tasks[task].params, EncodeText))

    def _step(self, task: str) -> Iterator[Event]:
        needs = [need.task for need in self.ledger.graph.tasks[task].needs]
        if task in self.ledger.commits or self.quarantined.intersection(needs):
            self.quarantined |= {task} - self.ledger.commits.keys()
            return
        missing = [need for need in needs if need not in self.ledger.commits]
        if missing:
            self.queue.extendleft([task, *reversed(missing)])
            return
        yield from self._attempt(task)

    def _attempt(self, task: str) -> Iterator[Event]:
        assert self.worker is not None
        attempt = self.attempts[task] = self.attempts.get(task, 0) + 1
        stage = self.ledger.graph.tasks[task].stage
        known = self.failures.get(task, [])
        rungs = self._decide(known, stage).rungs if known else ()
        yield self.session.record(TaskStarted(task, WORKER, attempt, self._order()))
        try:
            order = self.ledger.order(task, attempt, rungs)
            result = self.worker.run(order if self.exact else replace(order, exact=False))
        except StageError as error:
            yield self._fail(task, attempt, error)
        else:
            yield from self.session.results.take(result, WORKER, attempt)
            yield from self.session.settle(task)
            times = TaskTimes(
                result.seconds, result.detail.get("read_s", 0.0), result.detail.get("commit_s", 0.0)
            )
            assert self.place is not None
            self.measured.observe(self.place, self.ledger.graph.tasks[task], times)

    def _fail(self, task: str, attempt: int, error: StageError) -> Event:
        failure = _failure(error)
        history = self.failures.setdefault(task, [])
        history.append(failure)
        verdict = self._decide(history, self.ledger.graph.tasks[task].stage)
        self._follow(task, failure, verdict)
        event = TaskFailed(task, WORKER, attempt, error.kind.value, str(error), verdict.reason)
        return self.session.results.failed(event, quarantined=verdict.action is Action.QUARANTINE)

    def _decide(self, failures: list[Failure], stage: Stage) -> Verdict:
        run = self.session.plan.run
        return decide(failures, stage, run.max_attempts, run.max_losses)

    def _follow(self, task: str, failure: Failure, verdict: Verdict) -> None:
        match verdict.action:
            case Action.RETRY if failure.kind is FailureKind.WORKER_LOST:
                store = self.session.store
                again = f"continue with `{resume_command(store.job_id, store.runs_url, SERIAL)}`"
                self.ended = PAUSED, f"this process cannot go on, {again}: {failure.message}"
            case Action.RETRY:
                self.queue.appendleft(task)
            case Action.RERENDER_INPUT:
                self._lose_input(task, failure.corrupt_input)
            case Action.QUARANTINE:
                self.quarantined.add(task)
            case Action.PAUSE:
                self.ended = PAUSED, verdict.reason

    def _lose_input(self, task: str, digest: str) -> None:
        for need in self.ledger.graph.tasks[task].needs:
            if self.ledger.digests[need.task] == digest:
                self.session.results.lose(need.task)
        self.queue.appendleft(task)

    def _asked_to_stop(self) -> bool:
        asked = self.session.store.requests()
        if UserRequest.CANCEL in asked:
            self.ended = CANCELLED, "cancelled by the user"
        elif UserRequest.PAUSE in asked:
            self.ended = PAUSED, PAUSED_BY_USER
        return self.ended is not None

    def _outcome(self) -> tuple[str, str]:
        if not self.quarantined:
            return self.session.final_outcome, ""
        return (
            PARTIAL if self.ledger.commits else FAILED
        ), f"{amount(len(self.quarantined), 'task')} quarantined"


def _failure(error: StageError) -> Failure:
    corrupt = error.digest if isinstance(error, CorruptArtifact) else ""
    return Failure(
        error.kind, WORKER, str(error), evidence=getattr(error, "evidence", ""), corrupt_input=corrupt
    )


def _device(engine: str) -> str:
    """The device of an in-process worker."""
    if engine == "fake":
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def _memory_gib(device: str) -> float | None:
    """Memory of that device, GiB; None of a CPU."""
    if device == "cpu":
        return None
    import torch

    return float(torch.cuda.get_device_properties(device).total_memory) / GIB
