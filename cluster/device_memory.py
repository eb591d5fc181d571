"""How much memory GPUs have, as their driver tells it."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.inventory import Inventory

ASK = ("nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits")
TOOL_S, ANSWER_S = 10.0, 20.0
"""How long the driver's tool may take, and a node with the start of a process for it."""
MIB_PER_GIB = 1024


def local_memory_gib() -> float | None:
    """Memory of this machine's smallest GPU, GiB; None without one, or where its driver does not tell."""
    try:
        reported = subprocess.run(ASK, capture_output=True, text=True, timeout=TOOL_S, check=True).stdout
        return min((float(line) / MIB_PER_GIB for line in reported.splitlines()), default=None)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None


def with_memory(inventory: Inventory, known: Inventory | None = None) -> Inventory:
    """The inventory with each node's own word on its GPUs' memory: the nodes of the connected cluster that
    have real GPUs are asked, but for those in `known`. Of one that does not answer in time, only its type
    tells."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

    ask = ray.remote(num_cpus=0, max_retries=0)(local_memory_gib)
    reported = {node.id: node.device_gib for node in known.nodes} if known else {}
    asked = {
        node.id: ask.options(scheduling_strategy=OnNode(node.id, soft=False)).remote()
        for node in inventory.nodes
        if node.accelerator and node.id not in reported
    }
    if asked:
        answered = set(ray.wait([*asked.values()], num_returns=len(asked), timeout=ANSWER_S)[0])
        reported |= {node: _answer(answer) for node, answer in asked.items() if answer in answered}
    nodes = (replace(node, device_gib=reported.get(node.id)) for node in inventory.nodes)
    return replace(inventory, nodes=tuple(nodes))


def _answer(answer: Any) -> float | None:
    import ray

    try:
        found: float | None = ray.get(answer)
    except ray.exceptions.RayError:
        return None
    return found
