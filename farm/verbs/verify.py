"""`farm verify`: read everything a job holds and name what is damaged. Deletes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from farm.output.outlets import locate
from farm.output.records import OutputRecords
from farm.state.event_log import EventLog, PassedOver
from farm.state.fingerprint import DIGESTS_FORM
from farm.state.job_state import STATE_FORM, FilmState
from farm.state.locks import LOCKS_FORM
from farm.verbs.run import JobDocuments
from jobs.errors import DamagedDocument, NewerFormat, StorageProblem
from jobs.planning.plan import PLAN_FORM
from jobs.store.chosen import SEEDS, SEEDS_COPY, SEEDS_FORM
from jobs.store.documents import LOCKED
from jobs.wording import amount

if TYPE_CHECKING:
    from jobs.records import Form


class DamagedPart(StrEnum):
    """What kind of file is damaged."""

    RESULT = "result"
    DOCUMENT = "document"
    EVENTS = "events"
    FILM = "film"


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged file: `place` is a task, document or path, `fault` what is wrong, `cure` what mends it."""

    part: DamagedPart
    place: str
    fault: str
    cure: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`results` and `films`, with what lies beside them, were read whole and match; `unused` files belong to
    no commit and do no harm."""

    job: str
    results: int
    films: int
    damage: tuple[Damage, ...]
    unused: int

    @property
    def ok(self) -> bool:
        """Nothing is damaged."""
        return not self.damage


RENDER_AGAIN = "the next render discards it and renders it again"
NOT_NOTED = "give write access to the run directory and verify again; then the next render makes it again"
NO_SEEDS = "delete both copies to go back to the spec's seeds"
WRITE_AGAIN = "the next render writes it again"
NO_LOCK = "restore it; unlocked, what other software made is rendered again"
NO_HARM = "nothing to do: the log explains a run, it is not needed to continue one"
DELIVER_AGAIN = "the next render assembles it again from its segments"
KEEP_IT = "keep it under another name, or delete it; the next render then assembles the film again"


def verify_job(runs_url: str, job_id: str) -> VerifyReport:
    """Hashes every committed artifact and delivered film; raises UsageError for an unknown job.

    Deletes nothing. It notes the results that are damaged, so that the next render reads them again: one that
    decayed in place, with its time stamp kept, looks whole to it.
    """
    run = JobDocuments.open(runs_url, job_id)
    checked = run.store.check(everything=True)
    tasks = {digest: task for task, digest in run.digests.items()}
    cure = RENDER_AGAIN if _noted(run, [digest for digest, _ in checked.damage]) else NOT_NOTED
    results = [
        Damage(DamagedPart.RESULT, tasks.get(digest, digest), fault, cure) for digest, fault in checked.damage
    ]
    films = run.state.videos if run.state else ()
    missing = list(film_damage(run, films))
    return VerifyReport(
        job=run.job,
        results=len(checked.commits),
        films=sum(len(film.files) for film in films) - len(missing),
        damage=(*results, *_documents(run), *_events(run), *missing),
        unused=len(checked.unused),
    )


def film_damage(run: JobDocuments, films: Iterable[FilmState]) -> Iterator[Damage]:
    """A film that decayed is replaced; one that was written to since it was delivered might be somebody's
    work."""
    records = OutputRecords(run.store)
    for file in (file for film in films for file in film.files):
        outlet, name = locate(file.path)
        found = outlet.find(name)
        if found is None:
            yield Damage(DamagedPart.FILM, file.path, "is missing", DELIVER_AGAIN)
        elif outlet.sha256(name) != file.sha256:
            ours = records.of(name).knows(outlet, name, found)
            yield Damage(DamagedPart.FILM, file.path, "is altered", DELIVER_AGAIN if ours else KEEP_IT)


def _noted(run: JobDocuments, damaged: list[str]) -> bool:
    try:
        run.store.suspect(damaged)
    except StorageProblem:
        return False
    return True


def _documents(run: JobDocuments) -> list[Damage]:
    """Seeds exist only after `retry --reseed`, and stand twice, locks after `farm lock`; the rest belongs to
    every run."""
    found = []
    for form in (STATE_FORM, PLAN_FORM, DIGESTS_FORM):
        if fault := _fault(run, form, form.name):
            cure = run.way_out if form is STATE_FORM and run.fault else WRITE_AGAIN
            found.append(Damage(DamagedPart.DOCUMENT, form.name, fault, cure))
    if run.store.has(LOCKED) and (fault := _fault(run, LOCKS_FORM, LOCKED)):
        found.append(Damage(DamagedPart.DOCUMENT, LOCKED, fault, NO_LOCK))
    return [*found, *_seeds(run)]


def _seeds(run: JobDocuments) -> list[Damage]:
    copies = [name for name in (SEEDS, SEEDS_COPY) if run.store.has(name)]
    faults = {name: fault for name in copies if (fault := _fault(run, SEEDS_FORM, name))}
    cure = WRITE_AGAIN if len(faults) < len(copies) else NO_SEEDS
    return [Damage(DamagedPart.DOCUMENT, name, fault, cure) for name, fault in faults.items()]


def _fault(run: JobDocuments, form: Form[Any], name: str) -> str:
    """What is wrong with a document; empty where nothing is."""
    try:
        return "" if run.store.load(form, "", name) is not None else "is missing"
    except DamagedDocument as damaged:
        return damaged.problems[0].value
    except NewerFormat as newer:
        return str(newer)


def _events(run: JobDocuments) -> list[Damage]:
    log = EventLog(run.store)
    for _ in log:
        pass
    lines: dict[str, list[PassedOver]] = {}
    for passed in log.passed_over:
        lines.setdefault(passed.file, []).append(passed)
    return [Damage(DamagedPart.EVENTS, file, _lines(passed), NO_HARM) for file, passed in lines.items()]


def _lines(passed: list[PassedOver]) -> str:
    more = f", and {amount(len(passed) - 1, 'more line')}" if len(passed) > 1 else ""
    return f"line {passed[0].line}: {passed[0].fault}{more}"
