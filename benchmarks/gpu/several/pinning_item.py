"""Each worker has a device of its own: what the driver's library says of their processes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.ray_here import gpus_of, one_ray

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench
    from cluster.base import Cluster
    from cluster.inventory import WorkerRequest
    from cluster.pool.shell import Placement


def pinning(bench: Bench) -> None:
    """One worker of a stage on each GPU: what Ray gave it, what it sees, and where NVML sees it."""
    from cluster.session import SessionConfig, open_session

    gpus = gpus_of(bench)
    topology = f"sample={gpus - 1},upscale+decode=1"
    with one_ray(gpus), open_session(SessionConfig()) as cluster:
        rows = _pinned(bench, cluster, topology, gpus)
    own = {row["device"] for row in rows}
    verdict = {"worker": "all", "device": f"{len(own)} different of {gpus}"}
    bench.table("Several GPUs: each worker has its own and sees no other", [*rows, verdict])


class Looker:
    """A worker that loads nothing and tells what it sees. Implements the pool's `Worker`."""

    def __init__(self, config: Any) -> None:
        self.held: Any = None

    def setup(self) -> dict[str, Any]:
        import torch

        named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        if not torch.cuda.is_available():
            return {"pid": os.getpid(), "visible": named, "sees": 0, "uuid": f"logical {named}"}
        self.held = torch.randn(2**26, device="cuda")
        uuid = str(torch.cuda.get_device_properties(0).uuid)
        return {"pid": os.getpid(), "visible": named, "sees": torch.cuda.device_count(), "uuid": uuid}

    def run(self, order: Any, cached: Mapping[str, Any]) -> Any:
        return None

    def payload(self, task: str) -> None:
        return None

    def destroy(self) -> None:
        self.held = None


def _pinned(bench: Bench, cluster: Cluster, topology: str, gpus: int) -> list[dict[str, Any]]:
    from cluster.pool.events import Placed, Ready
    from cluster.pool.pool import WorkerPool
    from farm.workers.workforce import make_workforce
    from jobs.tasks.task import Stage

    def configure(_request: WorkerRequest, _placement: Placement) -> None:
        return None

    force = make_workforce(topology, cluster.inventory(), gpus, frozenset(Stage) - {Stage.SEGMENT})
    requests = [request for request in force.requests if request.gpus]
    pool = WorkerPool(cluster, Looker, configure)
    rows: list[tuple[str, dict[str, Any]]] = []
    placed: dict[str, Placement] = {}
    try:
        pool.start(requests)
        while len(rows) < len(requests):
            for event in pool.wait(1.0):
                if isinstance(event, Placed):
                    placed[event.worker] = event.placement
                elif isinstance(event, Ready):
                    rows.append((event.worker, event.report))
        seen = _nvml_processes() if bench.device.startswith("cuda") else {}
        return [
            {
                "worker": worker,
                "Ray's id": ",".join(placed[worker].gpu_ids),
                "CUDA_VISIBLE_DEVICES": report["visible"],
                "devices it sees": report["sees"],
                "device": report["uuid"],
                "NVML finds its process on": ", ".join(seen.get(report["pid"], ("-",))),
            }
            for worker, report in sorted(rows)
        ]
    finally:
        pool.close()


def _nvml_processes() -> dict[int, list[str]]:
    """UUIDs of the devices that each process computes on, by process id."""
    import pynvml

    pynvml.nvmlInit()
    found: dict[int, list[str]] = {}
    for number in range(pynvml.nvmlDeviceGetCount()):
        handle = pynvml.nvmlDeviceGetHandleByIndex(number)
        for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
            found.setdefault(process.pid, []).append(pynvml.nvmlDeviceGetUUID(handle))
    return found
