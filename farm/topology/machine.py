"""What a job may use of a cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.tasks.topology import Machine

if TYPE_CHECKING:
    from cluster.inventory import Inventory
    from farm.topology.bound import JobFacts


def machine_of(inventory: Inventory, facts: JobFacts | None = None) -> Machine:
    """The GPUs that are there, and of those that an autoscaler may bring as many as the job has tasks for at
    once."""
    reach = inventory.reach_gpus if facts is None else min(inventory.reach_gpus, facts.at_once)
    # How large the nodes are that an autoscaler brings is not known.
    nodes = () if inventory.autoscale_gpus is not None else tuple(int(node.gpus) for node in inventory.nodes)
    return Machine(
        max(inventory.gpus, reach), cpus=inventory.reach_cpus, node_gpus=inventory.node_gpus, nodes=nodes
    )
