"""Whether the files that a task reads are still those that its digest was made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobs.errors import CannotRun, InvalidInput, WorkerLost
from jobs.file_digests import Moments, file_digest, moments

if TYPE_CHECKING:
    from actors.worker.order import TaskOrder


class LoadedModel(NamedTuple):
    """A model file or folder as a worker has loaded it."""

    sha256: str
    since: Moments


@contextmanager
def untouched(paths: Iterable[Path]) -> Iterator[dict[str, Moments]]:
    """The moments of the models, by path, while they are loaded. Raises CannotRun where one was touched
    meanwhile: what was loaded may be another one than its digest says."""
    before = {str(path): moments(path) for path in paths}
    yield before
    for path, was in before.items():
        if moments(path) != was:
            raise CannotRun(f"{path} was touched while it was loaded: render again once it stays")


@contextmanager
def same_content(order: TaskOrder, models: Mapping[str, LoadedModel]) -> Iterator[None]:
    """Raises InvalidInput where a file that the step may read is not what it was when the job was planned, or
    where one of `models`, by path, is not what the worker has loaded: the result would stand under the digest
    of the other one.

    Raises WorkerLost where one was touched meanwhile, even if it is back: what the worker has read of it is
    forgotten with the worker.
    """
    before = {path: moments(path) for path in {**models, **order.content}}
    # Of a model that is gone the worker has what it has loaded.
    wanted = {**{path: model.sha256 for path, model in models.items() if before[path]}, **order.content}
    for path, content in wanted.items():
        model = models.get(path)
        is_as_loaded = model is not None and model.since == before[path]
        if content != (model.sha256 if model is not None and is_as_loaded else file_digest(path)):
            raise InvalidInput(
                f"{path} has changed since this render began: put it back, or render again to take it "
                "as it is"
            )
    yield
    for path, was in before.items():
        if moments(path) != was:
            raise WorkerLost(f"{path} was touched while {order.task.id} ran, and may have been another file")
