"""`farm delete` and `farm prune`: say what would be freed, then free it under each job's lock.

Films are what the jobs were rendered for: they go only where `farm delete` is asked for them, and where a
record says that this job wrote what stands there.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from farm.output.outlets import locate
from farm.output.records import OutputRecords
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import CANCELLED, DONE, FAILED, PARTIAL, STOPPED_EARLY
from farm.state.locks import read_locks
from farm.verbs.run import JobDocuments
from farm.verbs.verify import film_damage
from jobs.errors import AccessDenied, DamagedDocument, JobBusy, NewerFormat, Problem, UsageError
from jobs.store.cleanup import (
    Files,
    other_files,
    remove,
    remove_folders,
    result_files,
    unreferenced_files,
)
from jobs.store.documents import LOCKED
from jobs.store.lock import Driver
from jobs.store.store import Store

ENDED = (DONE, STOPPED_EARLY, PARTIAL, FAILED, CANCELLED)
AGE = re.compile(r"(\d+)([hdw])\Z")
UNIT_S = {"h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
WHOLE, RESULTS, UNREFERENCED = "the whole run directory", "results of delivered films", "unreferenced results"


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What deleting a job frees: `files` and `bytes` of results, documents and log, and `films` where it was
    asked for them. `staying` films do not go. With `deleted` it has happened, and `left` are files of the run
    directory that the farm did not write."""

    job: str
    run_dir: str
    files: int
    bytes: int
    films: tuple[str, ...] = ()
    staying: tuple[str, ...] = ()
    deleted: bool = False
    left: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruned:
    """What is freed of one job, and `what` it is."""

    job: str
    what: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What pruning frees, by job. `skipped` jobs were taken up meanwhile, or may not be written
    by this user; with `deleted` it has happened."""

    runs: str
    jobs: tuple[Pruned, ...]
    files: int
    bytes: int
    deleted: bool = False
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Pruning:
    """What to prune besides unreferenced results: with `results`, those of jobs whose films all stand; jobs
    that ended `older_s` ago or longer, whole. Of a locked job nothing else goes."""

    results: bool = False
    older_s: float | None = None


def parse_age(text: str) -> float:
    """Seconds of `12h`, `30d` or `4w`; raises UsageError."""
    match = AGE.match(text)
    if match is None:
        rule = "a whole number of hours, days or weeks"
        raise UsageError([Problem("--older-than", repr(text), rule, "write for example 12h, 30d or 4w")])
    return int(match[1]) * UNIT_S[match[2]]


def survey_delete(runs_url: str, job_id: str, films: bool = False) -> DeleteResult:
    """What `delete_job` would free. Raises UsageError for an unknown or locked job, JobBusy while it is
    rendered."""
    run = JobDocuments.open(runs_url, job_id)
    require_nobody_renders(run)
    _require_unlocked(run)
    files = _everything(run.store)
    delivered = tuple(_delivered(run))
    going = _own_films(run.store, delivered) if films else {}
    staying = tuple(path for path in delivered if path not in going)
    size = files.bytes + sum(going.values())
    return DeleteResult(run.job, run.store.url, len(files.keys), size, tuple(going), staying)


def delete_job(runs_url: str, job_id: str, films: bool = False) -> DeleteResult:
    """Delete the job's run directory, with `films` those that it wrote, too. Raises as `survey_delete` does,
    and StorageProblem."""
    survey = survey_delete(runs_url, job_id, films)
    removed, left = _delete(Store.find(runs_url, job_id), survey.films)
    return replace(survey, files=removed, deleted=True, left=left)


def survey_prune(runs_url: str, pruning: Pruning) -> PruneResult:
    """What `prune` would free. Jobs that are rendered are left out."""
    jobs = tuple(found for store in Store.every(runs_url) if (found := _prunable(store, pruning)[0]).files)
    return _summed(PruneResult(runs_url, jobs, 0, 0))


def prune(runs_url: str, pruning: Pruning) -> PruneResult:
    """Free it. Raises StorageProblem; what was freed until then is gone."""
    done: list[Pruned] = []
    skipped: list[str] = []
    for store in Store.every(runs_url):
        if not _prunable(store, pruning)[0].files:
            continue
        try:
            done.append(_pruned(store, pruning))
        except (JobBusy, AccessDenied):
            skipped.append(store.job_id)
    return _summed(PruneResult(runs_url, tuple(done), 0, 0, True, tuple(skipped)))


def require_nobody_renders(run: JobDocuments) -> None:
    """Raises JobBusy where somebody renders the job, or may: a silent driver of another machine."""
    if run.driver.driver in (Driver.RUNNING, Driver.SILENT):
        raise JobBusy(f"{run.driver.who} renders the job: stop it first with `{run.command('cancel')}`.")


def _require_unlocked(run: JobDocuments) -> None:
    """Raises UsageError: what is locked could not be made again as it is."""
    if run.store.has(LOCKED):
        rule, remedy = "a job of which nothing is locked", f"`{run.command('unlock')}` first"
        raise UsageError([Problem("farm delete", f"{run.job!r} is locked", rule, remedy)])


def _delivered(run: JobDocuments) -> Iterator[str]:
    """Films, what lies beside them, and the versions of them that are kept."""
    records = OutputRecords(run.store)
    for file in (file for film in (run.state.videos if run.state else ()) for file in film.files):
        yield file.path
        outlet, name = locate(file.path)
        older = (record.name for _, record in records.versions(name))
        yield from (outlet.address(each) for each in older if outlet.find(each) is not None)


def _own_films(store: Store, paths: Iterable[str]) -> dict[str, int]:
    """Of these films those of which a record says that the job wrote what stands there now, with their
    sizes."""
    records = OutputRecords(store)
    own: dict[str, int] = {}
    for path in paths:
        outlet, name = locate(path)
        found = outlet.find(name)
        if found is not None and records.of(name).knows(outlet, name, found):
            own[path] = found.size if not found.is_folder else 0
    return own


def _delete(store: Store, films: Iterable[str]) -> tuple[int, tuple[str, ...]]:
    lock = store.lock()
    lock.acquire()
    try:
        for path in _own_films(store, films):
            lock.confirm()
            outlet, name = locate(path)
            outlet.discard(name)
        removed = remove(store, _everything(store), lock)
        return removed, remove_folders(store, lock)
    finally:
        lock.release()


def _everything(store: Store) -> Files:
    return result_files(store) + other_files(store)


def _pruned(store: Store, pruning: Pruning) -> Pruned:
    with store.lock() as lock:
        # Under the lock once more: somebody may have rendered in between.
        found, files = _prunable(store, pruning, locked=True)
        removed = remove(store, files, lock)
        if found.what == WHOLE:
            remove_folders(store, lock)
    return replace(found, files=removed)


def _prunable(store: Store, pruning: Pruning, locked: bool = False) -> tuple[Pruned, Files]:
    run = JobDocuments(store)
    what, files = _choose(run, pruning) if locked or not _is_taken(run) else ("", Files())
    return Pruned(run.job, what, len(files.keys), files.bytes), files


def _is_taken(run: JobDocuments) -> bool:
    return run.driver.driver in (Driver.RUNNING, Driver.SILENT)


def _choose(run: JobDocuments, pruning: Pruning) -> tuple[str, Files]:
    state = run.state if not run.store.has(LOCKED) else None
    if state is not None and state.outcome in ENDED and state.ended_s is not None:
        if pruning.older_s is not None and time.time() - state.ended_s >= pruning.older_s:
            return WHOLE, _everything(run.store)
        whole = state.outcome == DONE and not list(film_damage(run, state.videos))
        if pruning.results and whole:
            return RESULTS, result_files(run.store)
    return UNREFERENCED, _unreferenced(run)


def _unreferenced(run: JobDocuments) -> Files:
    """Nothing where the job's digests, or its locks, cannot be read: then nobody knows what is still
    wanted."""
    try:
        known, locked = run.store.recall(DIGESTS_FORM), read_locks(run.store).digests
    except (NewerFormat, DamagedDocument):
        return Files()
    return unreferenced_files(run.store, locked.union(known.digests.values())) if known else Files()


def _summed(result: PruneResult) -> PruneResult:
    files, size = sum(each.files for each in result.jobs), sum(each.bytes for each in result.jobs)
    return replace(result, files=files, bytes=size)
