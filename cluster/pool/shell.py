"""A worker's process, as a pool sees it: around the plain class that farm hands in."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from cluster.storage import StorageProof, unseen


class WorkerClass(Protocol):
    """What the pool asks of a worker class."""

    def __init__(self, config: Any) -> None:
        """Take one picklable config."""

    def setup(self) -> dict[str, Any]:
        """Load what the worker's stages need; the report goes into the `Ready` event."""

    def run(self, order: Any, cached: Mapping[str, Any]) -> Any:
        """Do one task. `cached` offers payloads of earlier tasks by id; a missing one stands in the store."""

    def payload(self, task: str) -> Any | None:
        """The payload that the task's `run` made, for other workers; None when it is not at hand."""

    def destroy(self) -> None:
        """Release what was loaded; asked for where the process goes on without the worker."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker's process is. `gpu_ids` are what it was given; `device` is what its engine should use;
    `accelerator` is the type of the node's GPUs, None where the cluster knows none."""

    worker: str
    incarnation: int
    node_id: str
    host: str
    pid: int
    gpu_ids: tuple[str, ...]
    visible_devices: str | None
    device: str
    accelerator: str | None = None


class PayloadLost(Exception):
    """A payload that another process kept is gone."""


class WorkerShell(ABC):
    """Starting takes two calls: waiting for a GPU and loading a model are different states."""

    def __init__(self, worker: str, incarnation: int) -> None:
        self.worker_id = worker
        self.incarnation = incarnation
        self._worker: WorkerClass | None = None

    @abstractmethod
    def here(self) -> Placement:
        """Where this process is."""

    @abstractmethod
    def keep(self, payload: Any) -> Any | None:
        """A reference by which other processes get the payload; None where there is no room."""

    @abstractmethod
    def fetch(self, reference: Any) -> Any:
        """What another process kept. Raises PayloadLost."""

    def place(self, proof: StorageProof) -> tuple[Placement, list[str]]:
        """Where this process is, and what of the shared storage it does not see."""
        return self.here(), unseen(proof)

    def load(self, worker_class: type[WorkerClass], config: Any) -> dict[str, Any]:
        """Build the worker and load its models."""
        self._worker = worker_class(config)
        return self._worker.setup()

    def run(self, task: str, order: Any, refs: dict[str, list[Any]], share: bool) -> tuple[Any, list[Any]]:
        """Do the task; with `share`, keep its payload and return the reference to it.

        References travel inside lists: so Ray neither waits for them nor fails the call when one is lost.
        """
        assert self._worker is not None, "run before load"
        held = {name: reference for name, (reference,) in refs.items()}
        result = self._worker.run(order, SharedPayloads(self, held))
        return result, self._shared(task) if share else []

    def _shared(self, task: str) -> list[Any]:
        """A reference to the task's payload; none when there is no room: readers have the store."""
        payload = self._worker.payload(task) if self._worker else None
        reference = None if payload is None else self.keep(payload)
        return [] if reference is None else [reference]

    def ping(self) -> int:
        """Answer with the process id."""
        return os.getpid()

    def destroy(self) -> None:
        """Release the worker."""
        if self._worker is not None:
            self._worker.destroy()
            self._worker = None


class SharedPayloads(Mapping[str, Any]):
    """Payloads by task id, fetched when asked for; a lost one reads as absent."""

    def __init__(self, shell: WorkerShell, refs: Mapping[str, Any]) -> None:
        self._shell, self._refs = shell, refs
        self._lost: set[str] = set()

    def __getitem__(self, task: str) -> Any:
        if task not in self:
            raise KeyError(task)
        try:
            return self._shell.fetch(self._refs[task])
        except PayloadLost:
            self._lost.add(task)
            raise KeyError(task) from None

    def __contains__(self, task: object) -> bool:
        return task in self._refs and task not in self._lost

    def __iter__(self) -> Iterator[str]:
        return (task for task in self._refs if task not in self._lost)

    def __len__(self) -> int:
        return len(self._refs) - len(self._lost)
