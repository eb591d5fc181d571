"""How a running cluster is: nodes, their software, and who may reach its dashboard."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata

from cluster.inventory import Inventory, NodeFacts, read_inventory
from cluster.job_server.dashboard import AUTH_MODE
from cluster.ray_private import dashboard_url
from cluster.session import SessionConfig, open_session

PACKAGES = ("ltx-farm", "torch", "diffusers", "numpy")
LOOPBACK = ("127.", "localhost", "[::1]", "::1")
ANSWER_S = 60.0
STRANGER_S = 5.0


@dataclass(frozen=True, slots=True)
class ClusterHealth:
    """`differing` are lines about nodes whose software is not the head's; `dashboard` may be empty."""

    inventory: Inventory
    differing: tuple[str, ...]
    dashboard: str
    dashboard_exposed: bool
    authenticated: bool


def ray_version() -> str:
    """The installed Ray."""
    return f"Ray {metadata.version('ray')}"


def cluster_health(address: str) -> ClusterHealth:
    """Joins the cluster, asks every node, and leaves. Raises CannotRun when it cannot be joined."""
    with open_session(SessionConfig(address=address)):
        inventory, dashboard = read_inventory(), dashboard_url()
        return ClusterHealth(
            inventory=inventory,
            differing=tuple(_differing(inventory.nodes)),
            dashboard=dashboard,
            dashboard_exposed=bool(dashboard) and not dashboard.removeprefix("http://").startswith(LOOPBACK),
            authenticated=_asks_for_a_token(dashboard),
        )


def _asks_for_a_token(dashboard: str) -> bool:
    """Whether the dashboard turns a stranger away; where it does not answer, what our own side is set to."""
    try:
        urllib.request.urlopen(
            f"http://{dashboard.removeprefix('http://')}/api/jobs/", timeout=STRANGER_S
        ).close()
    except urllib.error.HTTPError as refusal:
        return refusal.code in (401, 403)
    except (OSError, ValueError):
        return os.environ.get(AUTH_MODE, "").lower() == "token"
    return False


def software() -> dict[str, str]:
    """Versions of what reaches a film's bytes, on the node where this runs."""
    found = {"python": ".".join(map(str, sys.version_info[:2]))}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "missing"
    return found


def _differing(nodes: Sequence[NodeFacts]) -> list[str]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as OnNode

    here = software()
    ask = ray.remote(num_cpus=0, max_retries=0)(software)
    asked = [ask.options(scheduling_strategy=OnNode(node.id, soft=False)).remote() for node in nodes]
    lines = []
    for node, answer in zip(nodes, asked, strict=True):
        try:
            there = ray.get(answer, timeout=ANSWER_S)
        except ray.exceptions.RayError as error:
            lines.append(f"{node.host} does not answer: {type(error).__name__}")
            continue
        lines += [
            f"{node.host} has {name} {there[name]}, here it is {version}"
            for name, version in here.items()
            if there[name] != version
        ]
    return lines
