"""What of a job is there: digests that stand for its results, commits that count, and what is left to do."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.session.selection import awaiting, to_compute, to_remake, within
from farm.session.software import Software
from farm.state.progress import split_task
from jobs.tasks.digest import Fingerprint, LockedResults, digests_with, files_of
from jobs.tasks.duplicates import Duplicates, find_duplicates
from jobs.tasks.retention import evictable

if TYPE_CHECKING:
    from actors.worker.order import TaskOrder
    from jobs.failures import Rung
    from jobs.store.commits import Commit
    from jobs.tasks.task import Stage, TaskGraph

NO_PROVENANCE: dict[str, Any] = {}
"""Shared by all commits in memory: there may be a hundred thousand of them; the store has the real one."""


class Ledger:
    """The tasks of one job. Nothing is known of them until `resolve`; `survey` then takes what the store has.

    `commits` are by task, those of evicted frames left out; `todo` is in plan order and
    names one of several equal tasks. `scoped` are the tasks that the render is asked for, `held` those of
    them that wait for an approval, `seen` the digests of first passes that have one; None where none is asked
    for.
    """

    def __init__(self, graph: TaskGraph, until: Stage | None = None) -> None:
        self._until = until
        self.seen: Set[str] | None = None
        self.plan(graph)

    def plan(self, graph: TaskGraph) -> None:
        """Begins anew, with the tasks of another plan."""
        self.graph = graph
        self.scoped = within(graph, self._until)
        self.held: list[str] = []
        self.digests: dict[str, str] = {}
        self.duplicates = Duplicates()
        self.commits: dict[str, Commit] = {}
        self.todo: list[str] = []
        self.contents: Mapping[str, str] = {}
        """Content digests of the files that the tasks read, by path."""
        self.software = Software()
        self._inexact: set[str] = set()

    def resolve(self, fingerprint: Fingerprint, locked: Sequence[LockedResults] = ()) -> None:
        """Fixes every digest."""
        self.contents = fingerprint.files
        found = digests_with(self.graph, fingerprint, locked)
        self.digests = found.by_task
        self.software = Software(self.graph, found, today=len(locked))
        self.duplicates = find_duplicates(self.digests)
        self.graph = self.duplicates.merged(self.graph)

    def survey(self, committed: Mapping[str, Commit], evicted: Mapping[str, Commit]) -> tuple[str, ...]:
        """Takes what the store holds, by digest. Returns the tasks whose frames, or
        canvas, nobody needs any more."""
        for task, digest in self.digests.items():
            if digest in committed:
                self._keep(task, committed[digest])
            elif _is_inexact(evicted.get(digest)):
                self._inexact.add(task)
        missing = to_compute(self.graph, self.digests, committed, evicted, self._until)
        tainted = self._tainted()
        self.held = [task for task in missing if task in tainted]
        self.todo = self.duplicates.without([task for task in missing if task not in tainted])
        return evictable(self.graph, self.commits)

    def approve(self, seen: Set[str]) -> list[str]:
        """Takes the digests of what was approved by now: the tasks that wait no longer, which `todo` has
        then."""
        if self.seen is None or seen == self.seen:
            return []
        self.seen, before = seen, self.held
        tainted = self._tainted()
        self.held = [task for task in before if task in tainted]
        free = self.duplicates.without([task for task in before if task not in tainted])
        self.todo += free
        return free

    def _tainted(self) -> Set[str]:
        return frozenset() if self.seen is None else awaiting(self.graph, self.digests, self.seen)

    def keep(self, task: str, commit: Commit) -> tuple[str, ...]:
        """Takes a commit for the task and its duplicates, which are returned; none of them where one was
        taken before: a superseded attempt may end all the same, and may have replaced the artifact."""
        before, family = self.commits.get(task), self.duplicates.family(task)
        if before is None or before.file != commit.file:
            for one in family:
                self._keep(one, commit)
        return family if before is None else ()

    def forget(self, task: str) -> None:
        """Forgets the commit of a task and its duplicates."""
        for duplicate in self.duplicates.family(task):
            self.commits.pop(duplicate, None)

    def forget_artifact(self, digest: str) -> list[str]:
        """Forgets an artifact; the tasks whose commit it was."""
        lost = [task for task, commit in self.commits.items() if commit.digest == digest]
        for task in lost:
            del self.commits[task]
        return lost

    def remake(self, tasks: Collection[str]) -> None:
        """Makes `todo` what it takes to have these again, and nothing else."""
        self.todo = self.duplicates.without(to_remake(self.graph, tasks, self.commits))

    def retire(self, task: str) -> list[Commit]:
        """Forgets the decoded frames and canvases that the task reads, or is, once all that read them are
        committed: their commits."""
        first = self.duplicates.first.get(task, task)
        retired = []
        for name in (first, *(need.task for need in self.graph.tasks[task].needs)):
            read = all(reader in self.commits for reader in self.graph.dependents[name])
            if read and self.graph.tasks[name].transient and name in self.commits:
                retired.append(self.commits[name])
                self.forget(name)
        return retired

    def order(self, task: str, attempt: int, ladder: tuple[Rung, ...] = ()) -> TaskOrder:
        """What a worker needs to run `task`: its inputs are committed, or this raises KeyError."""
        from actors.worker.order import TaskOrder

        stage_task = self.graph.tasks[task]
        inputs = {need.task: self.commits[need.task] for need in stage_task.needs}
        content = {path: self.contents[path] for path in files_of(stage_task)}
        exact = self.software.makes(task)
        return TaskOrder(stage_task, self.digests[task], attempt, inputs, ladder, exact, content=content)

    def is_exact(self, task: str) -> bool:
        """Whether no rung of the ladder changed the task's bytes."""
        return task not in self._inexact

    def is_exact_film(self, video: str) -> bool:
        """Whether that holds for every task of the video, and one software made them all."""
        one = not self.software.mixed(video)
        return one and all(split_task(task)[0] != video for task in self._inexact)

    @property
    def exact(self) -> bool:
        """Whether that holds for every task of the job, and one software made each film."""
        return not self._inexact and not self.software.any_mixed

    @property
    def left(self) -> list[str]:
        """What has to be computed, and what may have to be; all that the render is asked for while the
        digests are unknown."""
        return [*self.todo, *self.held] if self.digests else self.scoped

    @property
    def stages_left(self) -> frozenset[Stage]:
        """The stages of what is left."""
        return frozenset(self.graph.tasks[task].stage for task in self.left)

    @property
    def waiting(self) -> set[str]:
        """The tasks that are not there yet: what has to be computed, and its duplicates."""
        return {duplicate for task in self.left for duplicate in self.duplicates.family(task)}

    def counts(self) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, int]]]:
        """By video and stage: how many tasks the render is asked for, and how many of them are there."""
        totals: dict[str, Counter[str]] = defaultdict(Counter)
        done: dict[str, Counter[str]] = defaultdict(Counter)
        waiting = self.waiting
        for name in self.scoped:
            video, _, stage = split_task(name)
            totals[video][stage] += 1
            done[video][stage] += name not in waiting
        return _plain(totals), _plain(done)

    def _keep(self, task: str, commit: Commit) -> None:
        if _is_inexact(commit):
            self._inexact.add(task)
        self.commits[task] = replace(commit, digest=self.digests[task], provenance=NO_PROVENANCE)


def _plain(counts: Mapping[str, Counter[str]]) -> dict[str, dict[str, int]]:
    return {video: dict(stages) for video, stages in counts.items()}


def _is_inexact(commit: Commit | None) -> bool:
    """Whether a result was made by a rung of the ladder that changes bytes."""
    return commit is not None and not commit.provenance.get("exact", True)
