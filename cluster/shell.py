"""The remote side of a worker: the process that Ray starts, around the plain class that farm hands in."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import ray

from cluster.inventory import has_gpu
from cluster.storage import StorageProof, unseen

FETCH_TIMEOUT_S = 20.0


class Worker(Protocol):
    """What the pool asks of a worker class."""

    def __init__(self, config: Any) -> None:
        """Take one picklable config."""

    def setup(self) -> dict[str, Any]:
        """Load what the worker's stages need; the report goes into the `Ready` event."""

    def run(self, order: Any, cached: Mapping[str, Any]) -> Any:
        """Do one task. `cached` offers payloads of earlier tasks by id; a missing one stands in the store."""

    def payload(self, task: str) -> Any | None:
        """The payload that the task's `run` made, for other workers; None when it is not at hand."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a worker's process is. `gpu_ids` are what Ray gave it; `device` is what its engine should use;
    `accelerator` is the type of the node's GPUs, None where Ray knows none."""

    worker: str
    incarnation: int
    node_id: str
    host: str
    pid: int
    gpu_ids: tuple[str, ...]
    visible_devices: str | None
    device: str
    accelerator: str | None = None


class PayloadRefs(Mapping[str, Any]):
    """Payloads by task id, fetched from the object store when asked for; a lost one reads as absent."""

    def __init__(self, refs: Mapping[str, Any]) -> None:
        self._refs = refs
        self._lost: set[str] = set()

    def __getitem__(self, task: str) -> Any:
        if task in self._lost or task not in self._refs:
            raise KeyError(task)
        try:
            return ray.get(self._refs[task], timeout=FETCH_TIMEOUT_S)
        except ray.exceptions.RayError:
            self._lost.add(task)
            raise KeyError(task) from None

    def __contains__(self, task: object) -> bool:
        return task in self._refs and task not in self._lost

    def __iter__(self) -> Iterator[str]:
        return (task for task in self._refs if task not in self._lost)

    def __len__(self) -> int:
        return len(self._refs) - len(self._lost)


class WorkerShell:
    """The actor. Starting takes two calls: waiting for a GPU and loading a model are different states."""

    def __init__(self, worker: str, incarnation: int) -> None:
        self._worker_id = worker
        self._incarnation = incarnation
        self._worker: Worker | None = None

    def place(self, proof: StorageProof) -> tuple[Placement, list[str]]:
        """Where this process is, and what of the shared storage it does not see."""
        gpu_ids = tuple(str(gpu) for gpu in ray.get_gpu_ids())
        placement = Placement(
            worker=self._worker_id,
            incarnation=self._incarnation,
            node_id=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            gpu_ids=gpu_ids,
            visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
            device="cuda" if gpu_ids and has_gpu() else "cpu",
        )
        return placement, unseen(proof)

    def load(self, worker_class: type[Worker], config: Any) -> dict[str, Any]:
        """Build the worker and load its models."""
        self._worker = worker_class(config)
        return self._worker.setup()

    def run(self, task: str, order: Any, refs: dict[str, list[Any]], share: bool) -> tuple[Any, list[Any]]:
        """Do the task; with `share`, leave its payload in the object store and return the reference to it.

        References travel inside lists: so Ray neither waits for them nor fails the call when one is lost.
        """
        assert self._worker is not None, "run before load"
        result = self._worker.run(order, PayloadRefs({name: held[0] for name, held in refs.items()}))
        return result, self._shared(task) if share else []

    def _shared(self, task: str) -> list[Any]:
        """A reference to the task's payload; none when the object store is full: readers have the store."""
        payload = self._worker.payload(task) if self._worker else None
        if payload is None:
            return []
        try:
            return [ray.put(payload)]
        except (ray.exceptions.RayError, OSError):
            return []

    def ping(self) -> int:
        """Answer with the process id."""
        return os.getpid()
