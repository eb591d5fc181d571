"""The connected Ray, as a pool sees it."""

from __future__ import annotations

import os
import queue
import socket
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import exceptions

from cluster.device_memory import with_memory
from cluster.failures import CallFailure, raised
from cluster.holders import actor_name, other_jobs
from cluster.inventory import Inventory, WorkerRequest, listens, read_inventory
from cluster.local_gpus import has_gpu
from cluster.metrics import RayInstruments
from cluster.pool.shell import PayloadLost, Placement, WorkerShell
from cluster.ray_private import draining_nodes
from jobs.errors import CannotRun, FailureKind

if TYPE_CHECKING:
    from cluster.base import Answer, Answers

CALLS_AT_ONCE = 2
"""So that a worker's device computes the next task while the result of the one before is written."""

FETCH_TIMEOUT_S = 20.0


class RayWorker(WorkerShell):
    """The actor."""

    def here(self) -> Placement:
        gpu_ids = tuple(str(gpu) for gpu in ray.get_gpu_ids())
        return Placement(
            worker=self.worker_id,
            incarnation=self.incarnation,
            node_id=ray.get_runtime_context().get_node_id(),
            host=socket.gethostname(),
            pid=os.getpid(),
            gpu_ids=gpu_ids,
            visible_devices=os.environ.get("CUDA_VISIBLE_DEVICES"),
            device="cuda" if gpu_ids and has_gpu() else "cpu",
        )

    def keep(self, payload: Any) -> Any | None:
        """In the object store, where it has room."""
        try:
            return ray.put(payload)
        except (exceptions.RayError, OSError):
            return None

    def fetch(self, reference: Any) -> Any:
        try:
            return ray.get(reference, timeout=FETCH_TIMEOUT_S)
        except exceptions.RayError as error:
            raise PayloadLost from error


class RayActor:
    """The driver's handle of one actor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def call(self, method: str, *values: Any) -> Future[Any]:
        """The future holds the call's reference, and with it the result."""
        begun: Future[Any] = getattr(self._handle, method).remote(*values).future()
        return begun

    def kill(self) -> None:
        ray.kill(self._handle)


@dataclass(frozen=True, slots=True)
class RayCluster:
    """The cluster that this process is connected to; implements `Cluster`."""

    address: str
    local: bool

    def now_s(self) -> float:
        return time.monotonic()

    def wait(self, answers: Answers, timeout_s: float) -> Answer | None:
        try:
            return answers.get(timeout=timeout_s) if timeout_s else answers.get_nowait()
        except queue.Empty:
            return None

    def head_listens(self) -> bool:
        return listens(self.address)

    def inventory(self) -> Inventory:
        return read_inventory()

    def leaving(self) -> frozenset[str]:
        return draining_nodes() if self.head_listens() else frozenset()

    def with_memory(self, inventory: Inventory, known: Inventory | None = None) -> Inventory:
        return with_memory(inventory, known)

    def free(self) -> str:
        left = ray.available_resources()
        return f"{left.get('GPU', 0.0):g} GPU, {left.get('CPU', 0.0):g} CPU"

    def holders(self, job: str) -> dict[str, float]:
        return other_jobs(job)

    def start(self, request: WorkerRequest, incarnation: int, job: str) -> RayActor:
        options: dict[str, Any] = {
            "num_gpus": request.gpus,
            "num_cpus": request.cpus,
            "max_restarts": 0,
            "max_task_retries": 0,
            "allow_out_of_order_execution": True,
            "max_concurrency": CALLS_AT_ONCE,
            "scheduling_strategy": "SPREAD",
        }
        if job:
            options["name"] = actor_name(job, request)
        if request.labels:
            options |= {"label_selector": request.labels, "scheduling_strategy": "DEFAULT"}
        return RayActor(ray.remote(RayWorker).options(**options).remote(request.id, incarnation))

    def failure(self, error: BaseException) -> CallFailure:
        return read_failure(error)

    def instruments(self, job: str) -> RayInstruments:
        return RayInstruments(job)


def read_failure(error: BaseException) -> CallFailure:
    """Sort an exception that a call's future carries into the failure table."""
    if isinstance(error, exceptions.OutOfMemoryError):
        return CallFailure(FailureKind.OOM, _line(error, "the node ran out of memory"), worker_gone=True)
    if isinstance(error, exceptions.RayTaskError):
        if not isinstance(error.cause, exceptions.ObjectLostError):
            return raised(error.cause, str(error))
        error = error.cause
    if isinstance(error, exceptions.ObjectLostError):
        return CallFailure(FailureKind.WORKER_LOST, _line(error, "a payload was lost with its node"))
    if isinstance(error, exceptions.ActorDiedError) and error.actor_init_failed:
        return _not_importable(error)
    return CallFailure(FailureKind.WORKER_LOST, _line(error, type(error).__name__), worker_gone=True)


def _not_importable(error: exceptions.ActorDiedError) -> CallFailure:
    """The actor's constructor does nothing that can fail: its module could not be imported there."""
    last = str(error).strip().splitlines()[-1].strip()
    message = (
        f"a node cannot start farm workers: {last}. Install the same ltx-farm, with its dependencies, in the "
        "Python environment that runs Ray on every node, or submit with a runtime environment that has it."
    )
    return CallFailure(FailureKind.INVALID, message, worker_gone=True, cause=CannotRun(message))


def _line(error: BaseException, fallback: str) -> str:
    """Ray's messages run over many lines; the log needs the one that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("The actor died", "The actor is dead"))]
    return (telling or lines or [fallback])[0][:300]
