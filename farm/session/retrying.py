"""Chunks that are rendered again because people want them otherwise: what goes, and what they are made with
then.

`farm retry` does it where nobody renders the job; else it asks the driver, which does it as soon as nothing
runs.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.events import TaskVoided, to_record
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import read_state
from farm.state.locks import read_locks, write_locks
from farm.state.progress import split_task
from jobs.errors import FarmError
from jobs.planning.plan import PLAN_FORM
from jobs.planning.planned import Plan
from jobs.store.chosen import AskedRetry, Rewording
from jobs.tasks.graph import build_graph
from jobs.tasks.retry import Retry, RetryState, Selection, plan_retry
from jobs.tasks.task import Stage, TaskGraph
from jobs.wording import amount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.store.store import Store


@dataclass(frozen=True, slots=True)
class Rendered:
    """A job as a retry finds it: `digests` by task, and the tasks that are `committed`, `evicted` or have
    `failed`."""

    plan: Plan
    graph: TaskGraph
    digests: Mapping[str, str]
    committed: frozenset[str]
    evicted: frozenset[str]
    failed: frozenset[str]

    @classmethod
    def of(cls, store: Store) -> Rendered | None:
        """As the run directory has it; None where nothing was planned."""
        file, frozen = store.recall(PLAN_FORM), store.recall(DIGESTS_FORM)
        if file is None:
            return None
        digests, state = frozen.digests if frozen else {}, read_state(store)
        committed, evicted = store.committed_digests(), store.evicted_digests()
        return cls(
            file.plan,
            build_graph(file.plan),
            digests,
            frozenset(task for task, digest in digests.items() if digest in committed),
            frozenset(task for task, digest in digests.items() if digest in evicted),
            frozenset(failed.task for failed in (state.failed if state else ())),
        )


def find_retry(store: Store, job: Rendered, selection: Selection) -> Retry:
    """What the selection would do, with nothing done yet. Raises UsageError: an unknown video or chunk, or no
    match."""
    in_state = _in_state(store, job, selection.state)
    found = plan_retry(job.plan, job.graph, selection, in_state, job.evicted, job.committed)
    return replace(found, job=store.job_id)


def carry_out(store: Store, job: Rendered, found: Retry) -> Retry:
    """Voids the results and keeps the new seeds and prompts; the job's lock is held. Returns it as done. What
    was locked of it is so no longer: it is made with what is installed then."""
    if found.seeds or found.prompts:
        store.override(_seeds(job, found), _prompts(store, job, found))
    _tell_voids(store, job, found)
    gone = [job.digests[task] for task in found.closure if task in job.digests]
    if unlocked := read_locks(store).digests.intersection(gone):
        write_locks(store, read_locks(store).without(unlocked))
    return replace(found, dry_run=False, voided=store.void(gone), unlocked=len(unlocked))


def ask(store: Store, selection: Selection) -> str:
    """Leaves it to the driver that renders the job; the name of the request."""
    return store.ask_retry(
        AskedRetry(
            tuple(sorted(selection.videos)),
            tuple(sorted(selection.chunks)),
            selection.state,
            selection.reseed,
            selection.prompt,
            time.time(),
        )
    )


def carry_out_asked(store: Store) -> Iterator[str]:
    """Carries out what was asked of the job's driver, oldest first; what is said of each. The job's lock is
    held, and nothing runs. One that cannot be carried out is answered, too: it is no reason to end a job."""
    for name in store.asked_retries():
        try:
            said = _carry_out_one(store, name)
        except FarmError as refused:
            said = f"a request of farm retry came to nothing: {refused}"
        store.answer_retry(name)
        yield said


def _carry_out_one(store: Store, name: str) -> str:
    asked, job = store.asked_retry(name), Rendered.of(store)
    if asked is None or job is None:
        return "a request of farm retry came to nothing: the job has no plan that can be read"
    chosen = frozenset(asked.videos), frozenset(asked.chunks)
    done = carry_out(
        store, job, find_retry(store, job, Selection(*chosen, asked.state, asked.reseed, asked.prompt))
    )
    return f"asked by farm retry: {amount(len(done.closure), 'task')} to be rendered again"


def _in_state(store: Store, job: Rendered, state: RetryState | None) -> frozenset[str]:
    if state is RetryState.FAILED:
        return job.failed
    if state is RetryState.INEXACT:
        commits = {**store.evicted(), **store.check().commits}
        inexact = {digest for digest, commit in commits.items() if not commit.provenance.get("exact", True)}
        return frozenset(task for task, digest in job.digests.items() if digest in inexact)
    return frozenset()


def _tell_voids(store: Store, job: Rendered, found: Retry) -> None:
    """Writes into the log which results go, and why."""
    there, chosen = job.committed | job.evicted, set(found.chosen)
    seeded = {(new.video, new.chunk) for new in found.seeds}
    for task in found.closure:
        if task in there:
            reason = "chosen by farm retry" if task in chosen else "it depends on what farm retry chose"
            video, chunk, stage = split_task(task)
            if stage == Stage.SAMPLE and (video, int(chunk)) in seeded:
                reason += ", with a new seed"
            store.append_event(to_record(TaskVoided(task, reason), time.time()))
    store.flush_events()


def _seeds(job: Rendered, found: Retry) -> dict[tuple[str, int], int]:
    """The new seeds as the run directory keeps them: under what stays with a chunk wherever it stands."""
    videos = {video.name: video for video in job.plan.videos}
    changed = ((videos[new.video], new) for new in found.seeds)
    return {(video.film, video.chunks[new.chunk].decode_seed): new.seed for video, new in changed}


def _prompts(store: Store, job: Rendered, found: Retry) -> dict[tuple[str, int], Rewording]:
    """The new prompts likewise, each with the one of the spec."""
    videos, known = {video.name: video for video in job.plan.videos}, store.rewordings()
    made = {}
    for new in found.prompts:
        video, chunk = videos[new.video], videos[new.video].chunks[new.chunk]
        key = video.film, chunk.decode_seed
        before = known.get(key)
        of_spec = before.instead_of if before and before.prompt == chunk.prompt else chunk.prompt
        made[key] = Rewording(of_spec, new.prompt)
    return made
