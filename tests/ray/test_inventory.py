"""What Ray says of its nodes: how many, of which type, and what its autoscaler may bring."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.ray.kit.commands import ROOT, environment
from tests.ray.kit.nodes import MIB, Nodes, head_and_nodes

ASK = """
import json, sys
from cluster.session import SessionConfig, open_session

with open_session(SessionConfig(address=sys.argv[1])) as cluster:
    has = cluster.inventory()
    kinds = sorted((node.gpus, node.cpus, node.accelerator or "") for node in has.nodes)
    print(json.dumps([kinds, has.device, has.reach_gpus, has.reach_cpus, cluster.free(), cluster.local]))
"""


def asked(running: Nodes) -> list[object]:
    """In a process of its own: one that has another Ray would not see nodes that come later."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, running.address],
        env=environment(**running.env), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert isinstance(answer, list)
    return answer


def tell_limits(address: str, nodes: int, gpus: int, cpus: int) -> None:
    """Leaves the autoscaler's configuration where Ray's own leaves it."""
    import ray
    from ray.core.generated.autoscaler_pb2 import ClusterConfig

    config = ClusterConfig()
    group = config.node_group_configs.add(name="gpu", max_count=nodes)
    group.resources.update({"GPU": gpus, "CPU": cpus})
    ray._raylet.GcsClient(address).internal_kv_put(
        ray._raylet.GCS_AUTOSCALER_CLUSTER_CONFIG_KEY.encode(),
        config.SerializeToString(),
        True,
        ray._raylet.GCS_AUTOSCALER_STATE_NAMESPACE.encode(),
    )


def test_types_of_nodes_and_the_reach_of_an_autoscaler() -> None:
    """A cluster that has scaled to nothing, then one whose nodes are there."""
    with head_and_nodes(0) as running:
        tell_limits(running.address, nodes=4, gpus=1, cpus=2)
        assert asked(running) == [[[0, 0, ""]], "gpu", 4, 8, "0 GPU, 0 CPU", False]
        for kind in ("A100", "H100", "H100"):
            running.cluster.add_node(
                num_gpus=1,
                num_cpus=2,
                object_store_memory=80 * MIB,
                resources={f"accelerator_type:{kind}": 1.0},
            )
        there = [[0, 0, ""], [1, 2, "A100"], [1, 2, "H100"], [1, 2, "H100"]]
        assert asked(running) == [there, "H100", 4, 8, "3 GPU, 6 CPU", False]
