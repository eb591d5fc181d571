"""A run directory as the verbs read it."""

from __future__ import annotations

import time
from functools import cached_property
from typing import TYPE_CHECKING

from farm.session.selection import awaiting
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import (  # fmt: skip
    INTERRUPTED,
    REFUSED,
    RUNNING,
    WAITING,
    JobState,
    WaitingFor,
    read_state,
)
from farm.submission.refusal import REFUSED_FORM, Refusal
from jobs.commands import job_command, render_command, resume_command
from jobs.errors import CannotRun, DamagedDocument, InputError, NewerFormat, Problem, UsageError
from jobs.planning.plan import PLAN_FORM
from jobs.store.lock import Driver, Presence, presence
from jobs.store.store import Store
from jobs.tasks.graph import build_graph
from jobs.wording import amount, clock

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.backend import Entry
    from jobs.tasks.task import TaskGraph

UNKNOWN = "unknown"
"""The outcome of a job whose `state.json` is missing or damaged while nobody renders it."""


class JobDocuments:
    """One job's documents, each read when it is asked for first. Of `before`, what was read of the same job
    earlier, the plan is taken where it is the same file still."""

    def __init__(self, store: Store, before: JobDocuments | None = None) -> None:
        self.store, self._before = store, before

    @classmethod
    def open(cls, runs_url: str, job_id: str) -> JobDocuments:
        """Raises UsageError with the nearest names where there is no such job."""
        return cls(Store.find(runs_url, job_id))

    @property
    def job(self) -> str:
        """The job's id."""
        return self.store.job_id

    def command(self, verb: str) -> str:
        """The command on this job, as it can be typed; a job without Ray is taken up without it."""
        if verb == "resume":
            return resume_command(self.job, self.store.runs_url, self._topology)
        return job_command(verb, self.job, self.store.runs_url)

    @property
    def _topology(self) -> str:
        """What the job was rendered with last; empty where `state.json` does not say."""
        return self.state.topology if self.state else ""

    @property
    def render_command(self) -> str:
        """The command that renders this job from its spec file."""
        try:
            name = self.plan.job
        except (InputError, CannotRun):
            name = self.job
        return render_command(self.job, name, self.store.runs_url, self._topology)

    @cached_property
    def _state(self) -> tuple[JobState | None, str, str]:
        """The state, what is wrong with it, and the way out."""
        try:
            return read_state(self.store), "", ""
        except DamagedDocument as damaged:
            (problem,) = damaged.problems
            return None, f"{problem.place}: {problem.value}", problem.remedy
        except NewerFormat as newer:
            return None, str(newer), "use the version of the farm that wrote it"

    @property
    def state(self) -> JobState | None:
        """What `state.json` says; None where it is missing, or where `fault` says why it cannot be read."""
        return self._state[0]

    @property
    def fault(self) -> str:
        """What is wrong with `state.json`, with its place; empty where nothing is."""
        return self._state[1]

    @property
    def way_out(self) -> str:
        """What helps against `fault`."""
        return self._state[2]

    @cached_property
    def refusal(self) -> Refusal | None:
        """Why the newest attempt was not taken up; None where it was."""
        return self.store.recall(REFUSED_FORM)

    @cached_property
    def driver(self) -> Presence:
        """Who renders the job now."""
        return presence(self.store.backend)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digest by task, in plan order; empty before the first worker reported its engine."""
        frozen = self.store.recall(DIGESTS_FORM)
        return frozen.digests if frozen else {}

    @cached_property
    def committed(self) -> frozenset[str]:
        """Tasks with a commit record."""
        found = self.store.committed_digests()
        return frozenset(task for task, digest in self.digests.items() if digest in found)

    @cached_property
    def evicted(self) -> frozenset[str]:
        """Tasks whose frames, or canvas, were evicted after all that read them were committed."""
        found = self.store.evicted_digests()
        return frozenset(task for task, digest in self.digests.items() if digest in found)

    @cached_property
    def held(self) -> frozenset[str]:
        """Tasks that wait for an approval, or would where they are not rendered yet."""
        asks = self.plan.run.approve is not None and set(self.graph.tasks) <= set(self.digests)
        return awaiting(self.graph, self.digests, self.store.approvals()) if asks else frozenset()

    @cached_property
    def _plan_file(self) -> Entry | None:
        return self.store.backend.stat(PLAN_FORM.name)

    @cached_property
    def _planned(self) -> tuple[Plan, TaskGraph]:
        before, self._before = self._before, None
        if before is not None and self._plan_file is not None and before._plan_file == self._plan_file:
            return before._planned
        plan = self._read_plan()
        return plan, build_graph(plan)

    @property
    def plan(self) -> Plan:
        """The stored plan; raises UsageError where it is missing, DamagedDocument, NewerFormat."""
        return self._planned[0]

    @property
    def graph(self) -> TaskGraph:
        """The stage tasks of the stored plan."""
        return self._planned[1]

    def _read_plan(self) -> Plan:
        again = render_command(self.job, self.job, self.store.runs_url, self._topology)
        remedy = f"run `{again}` once more: it plans again and keeps results"
        found = self.store.load(PLAN_FORM, remedy)
        if found is None:
            raise UsageError([Problem(PLAN_FORM.name, "is missing", "a planned job", remedy)])
        return found.plan

    def _why_interrupted(self) -> str:
        if self.driver.driver is Driver.ELSEWHERE:
            return f"a copy of {self.driver.place}, which {self.driver.who} renders"
        return f"its driver ({self.driver.who or 'unknown'}) ended"

    @property
    def outcome(self) -> tuple[str, str]:
        """Outcome and reason, corrected by the lock: a driver that died could not write its own end."""
        if self.driver.driver is Driver.RUNNING:
            waiting = self.state.waiting if self.state else None
            if waiting is not None:
                return WAITING, waiting_words(waiting, time.time())
            return RUNNING, self.state.reason if self.state else ""
        if self.state is None and self.refusal and not self.fault:
            return REFUSED, self.refusal.reason
        if self.state is None:
            missing = f"state.json is missing; `{self.render_command}` writes it again"
            return UNKNOWN, f"{self.fault}; {self.way_out}" if self.fault else missing
        if self.state.outcome == RUNNING:
            return INTERRUPTED, f"{self._why_interrupted()}; `{self.command('resume')}` continues"
        return self.state.outcome, self.state.reason


def waiting_words(waiting: WaitingFor, now_s: float) -> str:
    """For what, for how long, and who has it."""
    held = [f"job {job} holds {amount(gpus, 'GPU')}" for job, gpus in waiting.holders.items()]
    free = [f"free: {waiting.free}"] if waiting.free else []
    wait = f"for {waiting.wanted}, {clock(now_s - waiting.since_s)} so far"
    return "; ".join([wait, *held, *free])
