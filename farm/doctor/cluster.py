"""Ray: reachable, the same software everywhere, and not open to the world."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from farm.doctor.finding import Finding, fail, ok, warn
from farm.workers.workforce import gpus_named
from jobs.errors import CannotRun, CapacityError
from jobs.extras import INSTALL_RENDER, lacking
from jobs.tasks.topology import AUTO
from jobs.wording import amount

if TYPE_CHECKING:
    from cluster.inventory import Inventory

AUTH_FIX = "set RAY_AUTH_MODE=token on every node and client, or bind the dashboard to 127.0.0.1"


def check_cluster(address: str | None, topology: str = AUTO) -> Generator[Finding, None, float]:
    """With an address (or RAY_ADDRESS) that cluster, whose GPUs it returns; otherwise the Ray that a render
    would start here, and 0. `topology` is what the job asks for."""
    from cluster.health import cluster_health, ray_version

    if lacking("ray"):
        yield fail("ray", "is not installed", INSTALL_RENDER)
        return 0.0
    place = address or os.environ.get("RAY_ADDRESS")
    if not place:
        yield ok("ray", f"{ray_version()}; a render starts a cluster of its own on this machine")
        return 0.0
    try:
        health = cluster_health(place)
    except CannotRun as error:
        yield fail("ray", str(error), "start the head node, or correct --address")
        return 0.0
    inventory = health.inventory
    gpus = inventory.gpus
    yield ok(
        "ray", f"{place}: {amount(len(inventory.nodes), 'node')}, {amount(gpus, 'GPU')}{inventory.growth}"
    )
    yield from _gpus(inventory, topology)
    yield from _versions(health.differing)
    if health.dashboard_exposed and not health.authenticated:
        yield warn(
            "dashboard", f"{health.dashboard} listens beyond loopback without token authentication", AUTH_FIX
        )
    elif health.dashboard:
        yield ok("dashboard", health.dashboard)
    if health.authenticated:
        yield ok("auth", "strangers are asked for a token")
    elif not health.dashboard_exposed:
        yield ok("auth", "none; only this machine reaches the dashboard")
    return gpus


def _gpus(inventory: Inventory, topology: str) -> Iterator[Finding]:
    from cluster.capacity import require_gpu

    try:
        if gpus_named(topology):
            require_gpu(inventory)
    except CapacityError as error:
        what, _, fix = str(error).partition(". ")
        yield fail("gpus", what, fix)


def _versions(differing: tuple[str, ...]) -> Iterator[Finding]:
    if not differing:
        yield ok("versions", "the same on every node")
    for line in differing:
        yield fail("versions", line, "install the same versions on the head and every worker node")
