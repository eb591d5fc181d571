"""Whether the file that a task reads is still the one that its digest was made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from jobs.errors import InvalidInput
from jobs.file_digests import file_digest

if TYPE_CHECKING:
    from actors.worker.order import TaskOrder


@contextmanager
def same_content(order: TaskOrder) -> Iterator[None]:
    """Raises InvalidInput where the file that the step reads is not what it was when the job was planned:
    its result would stand under the digest of the other one."""
    path = getattr(order.task.params, "path", "")
    if not order.content:
        yield
        return
    _require_content(path, order.content)
    yield
    _require_content(path, order.content)


def _require_content(path: str, content: str) -> None:
    if file_digest(path) != content:
        raise InvalidInput(
            f"{path} has changed since this render began: put it back, or render again to take it as it is"
        )
