"""`farm verify`: read everything a job holds and name what is damaged. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from farm.delivery import film_stands
from farm.verbs.run import Run
from jobs.errors import UsageError
from jobs.store import DIGESTS, PLAN, SEEDS, STATE


class Part(StrEnum):
    """What kind of file is damaged."""

    RESULT = "result"
    DOCUMENT = "document"
    EVENTS = "events"
    FILM = "film"


@dataclass(frozen=True, slots=True)
class Damage:
    """One damaged file: `place` is a task, document or path, `fault` what is wrong, `cure` what mends it."""

    part: Part
    place: str
    fault: str
    cure: str


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """`results` and `films` were read whole and match; `unused` files belong to no commit and do no harm."""

    job: str
    results: int
    films: int
    damage: tuple[Damage, ...]
    unused: int

    @property
    def ok(self) -> bool:
        """Nothing is damaged."""
        return not self.damage


RENDER_AGAIN = "the next `farm render` discards it and renders it again"
WRITE_AGAIN = "the next `farm render SPEC` writes it again"
NO_HARM = "nothing to do: the log explains a run, it is not needed to continue one"
DELIVER_AGAIN = "the next `farm render` assembles it again from its segments"


def verify_job(runs_url: str, job_id: str) -> VerifyReport:
    """Hashes every committed artifact and delivered film; raises UsageError for an unknown job."""
    run = Run.open(runs_url, job_id)
    checked = run.store.check(everything=True)
    tasks = {digest: task for task, digest in run.digests.items()}
    results = [
        Damage(Part.RESULT, tasks.get(digest, digest), fault, RENDER_AGAIN)
        for digest, fault in checked.damage
    ]
    films = run.state.videos if run.state else ()
    missing = [
        Damage(Part.FILM, film.path, "is missing or altered", DELIVER_AGAIN)
        for film in films
        if not film_stands(Path(film.path), film)
    ]
    return VerifyReport(
        job=run.job,
        results=len(checked.commits),
        films=len(films) - len(missing),
        damage=(*results, *_documents(run), *_events(run), *missing),
        unused=len(checked.unused),
    )


def _documents(run: Run) -> list[Damage]:
    names = [name for name in (STATE, DIGESTS, SEEDS) if _torn(run, name)]
    try:
        _ = run.plan
    except UsageError:
        names.append(PLAN)
    return [Damage(Part.DOCUMENT, name, "is missing, torn or altered", WRITE_AGAIN) for name in names]


def _torn(run: Run, name: str) -> bool:
    """Seeds exist only after `retry --reseed`; the rest belongs to every run."""
    if run.store.read_json(name) is not None:
        return False
    return name != SEEDS or run.store.has(name)


def _events(run: Run) -> list[Damage]:
    torn = run.store.torn_events()
    return [Damage(Part.EVENTS, name, f"{lines} torn line(s)", NO_HARM) for name, lines in torn.items()]
