"""A run directory as the verbs read it."""

from __future__ import annotations

import json
from functools import cached_property

from farm.state import INTERRUPTED, RUNNING, JobState
from farm.typed import typed, typed_render
from jobs.errors import InputError, Problem, UsageError
from jobs.graph import TaskGraph, build_graph
from jobs.plan import plan_from_json
from jobs.planned import Plan
from jobs.store import DIGESTS, PLAN, STATE, Driver, Presence, Store, presence

UNKNOWN = "unknown"
"""The outcome of a job whose `state.json` is missing or damaged while nobody renders it."""


class Run:
    """One job's documents, each read when it is asked for first."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def open(cls, runs_url: str, job_id: str) -> Run:
        """Raises UsageError with the nearest names where there is no such job."""
        return cls(Store.find(runs_url, job_id))

    @property
    def job(self) -> str:
        """The job's id."""
        return self.store.job_id

    def typed(self, verb: str) -> str:
        """The command on this job, as it can be typed."""
        return typed(verb, self.job, self.store.runs_url)

    @property
    def render_command(self) -> str:
        """The command that renders this job from its spec file."""
        try:
            name = self.plan.job
        except UsageError:
            name = self.job
        return typed_render(self.job, name, self.store.runs_url)

    @cached_property
    def state(self) -> JobState | None:
        """What `state.json` says; None where it is missing or damaged."""
        return JobState.from_json(self.store.read_json(STATE))

    @cached_property
    def driver(self) -> Presence:
        """Who renders the job now."""
        return presence(self.store.backend)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Digest by task, in plan order; empty before the first worker reported its engine."""
        return (self.store.read_json(DIGESTS) or {}).get("digests", {})

    @cached_property
    def committed(self) -> frozenset[str]:
        """Tasks with a commit record."""
        found = self.store.committed_digests()
        return frozenset(task for task, digest in self.digests.items() if digest in found)

    @cached_property
    def evicted(self) -> frozenset[str]:
        """Tasks whose frames were given up after their segments were committed."""
        found = self.store.evicted_digests()
        return frozenset(task for task, digest in self.digests.items() if digest in found)

    @cached_property
    def plan(self) -> Plan:
        """The stored plan; raises UsageError where it is missing or damaged."""
        document = self.store.read_json(PLAN)
        try:
            if document is not None:
                return plan_from_json(json.dumps(document))
        except InputError:
            pass
        rule, remedy = (
            "a whole plan.json",
            f"run `{typed_render(self.job, self.job, self.store.runs_url)}` once more: it plans again and "
            "keeps results",
        )
        raise UsageError([Problem("plan.json", "is missing or damaged", rule, remedy)])

    @cached_property
    def graph(self) -> TaskGraph:
        """The stage tasks of the stored plan."""
        return build_graph(self.plan)

    @property
    def outcome(self) -> tuple[str, str]:
        """Outcome and reason, corrected by the lock: a driver that died could not write its own end."""
        if self.driver.driver is Driver.RUNNING:
            return RUNNING, self.state.reason if self.state else ""
        if self.state is None:
            return UNKNOWN, f"state.json is missing or damaged; `{self.render_command}` writes it again"
        if self.state.outcome == RUNNING:
            return (
                INTERRUPTED,
                f"its driver ({self.driver.who or 'unknown'}) ended; continue with `{self.typed('resume')}`",
            )
        return self.state.outcome, self.state.reason
