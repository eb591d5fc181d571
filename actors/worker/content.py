"""Whether the files that a task reads are still those that its digest was made of."""

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
    """Raises InvalidInput where a file that the step reads is not what it was when the job was planned: its
    result would stand under the digest of the other one."""
    _require_content(order)
    yield
    _require_content(order)


def _require_content(order: TaskOrder) -> None:
    for path, content in order.content.items():
        if file_digest(path) != content:
            raise InvalidInput(
                f"{path} has changed since this render began: put it back, or render again to take it "
                "as it is"
            )
