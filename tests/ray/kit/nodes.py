"""Several Ray nodes on one machine, each with its own raylet and its own logical GPUs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.ray.kit.processes import alive, until

MIB = 2**20
ACCELERATOR = "H100"
"""What the nodes say that their GPUs are."""


@dataclass
class Nodes:
    """A running cluster, and the raylet of each living node by node id."""

    cluster: Any
    gpus_each: int
    cpus_each: int
    raylets: dict[str, int] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return str(self.cluster.address)

    @property
    def env(self) -> dict[str, str]:
        return {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled")}

    def refill(self, count: int = 3) -> None:
        """Start nodes until `count` live; those whose raylet was killed are forgotten."""
        self.raylets = {node: pid for node, pid in self.raylets.items() if pid in alive({pid})}
        while len(self.raylets) < count:
            node = self.cluster.add_node(
                num_gpus=self.gpus_each,
                num_cpus=self.cpus_each,
                object_store_memory=80 * MIB,
                resources={f"accelerator_type:{ACCELERATOR}": 1.0},
            )
            self.raylets[node.node_id] = node.all_processes["raylet"][0].process.pid


@contextmanager
def head_and_nodes(gpus_each: int = 1, cpus_each: int = 2) -> Iterator[Nodes]:
    """A head without GPUs for the driver; the nodes beside it come with `refill`."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False, "object_store_memory": 80 * MIB}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        yield Nodes(cluster, gpus_each, cpus_each)
    finally:
        for node in list(cluster.worker_nodes):
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)


def wait_until_joined(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until the node that `ray start --block` is to start has joined."""
    until(lambda: b"Ray runtime started" in log.read_bytes() or process.poll() is not None, 60, "it joins")
    assert process.poll() is None, log.read_text()
