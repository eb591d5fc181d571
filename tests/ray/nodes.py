"""Several Ray nodes on one machine, each with its own raylet and its own logical GPUs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

MIB = 2**20


@dataclass
class Nodes:
    """A running cluster: its address, the environment that reaches it, and each node's raylet by node id."""

    address: str
    env: dict[str, str]
    raylets: dict[str, int] = field(default_factory=dict)


@contextmanager
def three_nodes(gpus_each: int = 1, cpus_each: int = 2) -> Iterator[Nodes]:
    """A head without GPUs for the driver, and three nodes beside it."""
    from ray.cluster_utils import Cluster

    head = {"num_cpus": 0, "num_gpus": 0, "include_dashboard": False, "object_store_memory": 80 * MIB}
    cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
    try:
        nodes = Nodes(cluster.address, {"RAY_AUTH_MODE": os.environ.get("RAY_AUTH_MODE", "disabled")})
        for _ in range(3):
            node = cluster.add_node(num_gpus=gpus_each, num_cpus=cpus_each, object_store_memory=80 * MIB)
            nodes.raylets[node.node_id] = node.all_processes["raylet"][0].process.pid
        yield nodes
    finally:
        for node in list(cluster.worker_nodes):
            node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
        cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)
