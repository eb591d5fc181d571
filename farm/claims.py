"""Whose a film is: two jobs that deliver to one path would replace each other's work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from farm.state import STATE_FORM
from jobs.errors import Problem, StoreUnusable, UsageError
from jobs.planned import Plan, PlannedVideo
from jobs.store import Store


def film_path(plan: Plan, video: PlannedVideo) -> Path:
    """Where the film goes."""
    return Path(plan.output.dir) / video.output


def require_output(plan: Plan) -> None:
    """Raises StoreUnusable where no film could be written: better now than when all is rendered."""
    folder = Path(plan.output.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise StoreUnusable(
            f"cannot write films to {folder}: {error.strerror or error}. Create the folder, grant access, or "
            "choose another `output.dir`."
        ) from error


def refuse_foreign_films(plan: Plan, store: Store) -> None:
    """Raises UsageError for every film that would replace one of another job in the same runs directory."""
    standing = {str(path): video.name for video in plan.videos if (path := film_path(plan, video)).exists()}
    own = _films(store)
    wanted = {path: name for path, name in standing.items() if path not in own}
    if problems := list(_foreign(wanted, store)):
        raise UsageError(problems)


def _foreign(wanted: dict[str, str], store: Store) -> Iterator[Problem]:
    others = [other for other in Store.every(store.runs_url) if wanted and other.job_id != store.job_id]
    for other in others:
        for path in _films(other) & wanted.keys():
            rule = f"job {other.job_id} delivered a film there, which would be lost"
            remedy = "rename the video, or give another `output.dir`"
            yield Problem(f"video {wanted[path]}", path, rule, remedy)


def _films(store: Store) -> set[str]:
    state = store.recall(STATE_FORM)
    return {film.path for film in state.videos} if state else set()
