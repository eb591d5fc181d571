"""Whether the files that a task reads are still those that its digest was made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.errors import InvalidInput, WorkerLost
from jobs.file_digests import file_digest, moments

if TYPE_CHECKING:
    from actors.worker.order import TaskOrder


@contextmanager
def same_content(order: TaskOrder, models: Mapping[str, str]) -> Iterator[None]:
    """Raises InvalidInput where a file that the step may read is not what it was when the job was planned, or
    where one of `models`, SHA-256 by path, is not what the worker has loaded: the result would stand under
    the digest of the other one.

    Raises WorkerLost where one was touched meanwhile, even if it is back: what the worker has read of it is
    forgotten with the worker.
    """
    # Of a model that is gone the worker has what it has loaded.
    wanted = {**{path: sha256 for path, sha256 in models.items() if moments(path)}, **order.content}
    before = {path: moments(path) for path in wanted}
    for path, content in wanted.items():
        if file_digest(path) != content:
            raise InvalidInput(
                f"{path} has changed since this render began: put it back, or render again to take it "
                "as it is"
            )
    yield
    for path, was in before.items():
        if moments(path) != was:
            raise WorkerLost(f"{path} was touched while {order.task.id} ran, and may have been another file")
