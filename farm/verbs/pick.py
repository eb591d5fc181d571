"""`farm pick`: which take of a shot is in the film."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.verbs.run import JobDocuments
from jobs.errors import InputError, Problem, UsageError
from jobs.places import nearest
from jobs.planning.summary import take_row
from jobs.store.lock import Driver

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.planning.planned import PlannedVideo
    from jobs.planning.summary import TakeRow


@dataclass(frozen=True, slots=True)
class PickResult:
    """Take `take` of `shot` of the film `video` was picked in place of `before`; `seed` is that of its first
    chunk. `left` tasks of it are not rendered yet. A `busy` driver makes the film with it."""

    job: str
    video: str
    shot: str
    take: int
    before: int
    seed: int
    left: int
    busy: bool


def pick(runs_url: str, job_id: str, shot: str, take: int, video: str | None = None) -> PickResult:
    """Writes down which take of a shot the film has; the next render makes it.

    Raises UsageError: an unknown job, a job without takes, an unknown shot or film, a shot that several films
    have while no `video` is named, a take that the shot does not have.
    """
    run = JobDocuments.open(runs_url, job_id)
    takes = {row: film for film in run.plan.videos if (row := take_row(film)) is not None}
    if not takes:
        rule, remedy = "a job with a shot of several takes", "write `takes: 3` for it, and render again"
        raise UsageError([Problem("job", f"{run.job!r} has no takes", rule, remedy)])
    plain = {name for film in run.plan.videos if film.take is None for name in film.shots if name}
    those = _of_shot(list(takes), shot, video, plain)
    if not 1 <= take <= len(those):
        rule, remedy = f"takes of {shot} are numbered 1 to {len(those)}", "name one of these"
        raise UsageError([Problem("TAKE", str(take), rule, remedy)])
    chosen = those[take - 1]
    before = run.store.picks().get((chosen.video, shot), 1)
    run.store.pick(chosen.video, shot, take)
    return PickResult(
        job=run.job,
        video=chosen.video,
        shot=shot,
        take=take,
        before=before,
        seed=chosen.seed,
        left=len(_left(run, takes[chosen])),
        busy=run.driver.driver is Driver.RUNNING,
    )


def not_taken_up(run: JobDocuments) -> str:
    """Takes that were picked and are not in the film yet, and what puts them there; empty where there are
    none, and while a driver runs, which takes them up itself."""
    if run.driver.driver is Driver.RUNNING:
        return ""
    try:
        picks = run.store.picks()
        films = run.plan.videos if picks else ()
    except InputError:  # the next render says what is wrong with them
        return ""
    rows = [row for film in films if (row := take_row(film)) is not None]
    wanted = [row for row in rows if picks.get((row.video, row.shot), 1) == row.number and not row.picked]
    named = ", ".join(f"take {row.number} of {row.shot}" for row in wanted)
    are = "is" if len(wanted) == 1 else "are"
    return f"{named} {are} picked and not in the film yet: `{run.command('resume')}`" if wanted else ""


def find_take(run: JobDocuments, films: Sequence[str]) -> tuple[TakeRow, tuple[str, ...]]:
    """The take that is the one of these films, and its tasks that are not rendered yet. Raises UsageError
    where they are not one film, or no take."""
    found = [video for video in run.plan.videos if video.name in films and video.take is not None]
    row = take_row(found[0]) if len(found) == 1 else None
    if row is None:
        rule, remedy = "the film of one take", "reload the page"
        raise UsageError([Problem("pick", ", ".join(films[:5]) or "nothing chosen", rule, remedy)])
    return row, _left(run, found[0])


def _of_shot(takes: Sequence[TakeRow], shot: str, video: str | None, plain: set[str]) -> list[TakeRow]:
    """The takes of the shot, in order; `plain` are the names of all shots."""
    films = list(dict.fromkeys(take.video for take in takes))
    if video is not None and video not in films:
        raise UsageError([_unknown("--video", video, films, "a film with takes")])
    here = [take for take in takes if video in (None, take.video)]
    those = [take for take in here if take.shot == shot]
    if not those:
        names = list(dict.fromkeys(take.shot for take in here))
        if shot in plain:
            rule, remedy = (
                f"a shot that has takes: {', '.join(names[:12])}",
                "write `takes: 3` for it, and render again",
            )
            raise UsageError([Problem("SHOT", f"{shot!r} has one take", rule, remedy)])
        raise UsageError([_unknown("SHOT", shot, names, "a shot that has takes")])
    several = list(dict.fromkeys(take.video for take in those))
    if len(several) > 1:
        rule, remedy = f"one film; {', '.join(several[:5])} have takes of it", f"add `--video {several[0]}`"
        raise UsageError([Problem("SHOT", shot, rule, remedy)])
    return those


def _unknown(place: str, value: str, names: Sequence[str], what: str) -> Problem:
    near = nearest(value, names)
    remedy = f"did you mean `{near}`?" if near else "name one of these"
    return Problem(place, repr(value), f"{what}: {', '.join(names[:12])}", remedy)


def _left(run: JobDocuments, film: PlannedVideo) -> tuple[str, ...]:
    there = run.committed | run.evicted
    own = (task.id for task in run.graph.tasks.values() if task.video == film.name)
    return tuple(task for task in own if task not in there)
