"""What a worker reads for a task: payloads that it holds, that another worker lends, or that stand in the
store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.payload import Payload, unpack
from actors.worker.cache import PayloadCache
from jobs.store.store import Store
from jobs.tasks.task import Need, Stage

if TYPE_CHECKING:
    from actors.worker.order import TaskOrder


class OneAtATime(Sequence[Payload]):
    """Payloads that are read when they are asked for, each time anew, and held by nobody here."""

    def __init__(self, needs: Sequence[Need], read: Callable[[Need], Payload]) -> None:
        self._needs, self._read = needs, read

    def __len__(self) -> int:
        return len(self._needs)

    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return OneAtATime(self._needs[at], self._read)
        return self._read(self._needs[at])

    def __iter__(self) -> Iterator[Payload]:
        """Unlike a generator, this has no variable that holds a payload while the next one is read."""
        return map(self._read, self._needs)


@dataclass(frozen=True, slots=True)
class InputReader:
    """Reads through the worker's cache, in which inputs stay for the next task."""

    cache: PayloadCache
    store: Store

    def inputs(self, order: TaskOrder, cached: Mapping[str, Payload]) -> dict[str, Sequence[Payload]]:
        """Payloads by role, those of one role in the order of the task's needs; `cached` are lent by task.

        The frames of a chunk that was decoded in several windows come one window at a time: a segment needs
        no memory for all of them. Raises CorruptArtifact and StorageProblem, for these when they are read.
        """
        needs: dict[str, list[Need]] = {}
        for need in order.task.needs:
            needs.setdefault(need.role, []).append(need)
        passing = order.task.stage is Stage.SEGMENT

        def read(need: Need) -> Payload:
            return self._read(need, order, cached, keep=not (passing and len(needs[need.role]) > 1))

        return {
            role: OneAtATime(some, read) if passing and len(some) > 1 else [read(need) for need in some]
            for role, some in needs.items()
        }

    def _read(self, need: Need, order: TaskOrder, cached: Mapping[str, Payload], keep: bool) -> Payload:
        commit = order.inputs[need.task]
        payload = self.cache.get(commit.digest)
        if payload is None and (lent := cached.get(need.task)) is not None:
            # What a cache holds on to, an object store could neither free nor move to disk.
            payload = lent.copy() if keep else lent
        if payload is None:
            payload = unpack(self.store.read(commit))
        if keep:
            self.cache.put(commit.digest, payload)
        return payload
