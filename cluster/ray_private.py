"""All that the farm uses of Ray without a public name, in one place: a test holds it to the installed Ray."""

from __future__ import annotations

import logging
from collections.abc import Mapping


def most_resources() -> Mapping[str, float] | None:
    """The most GPUs and CPUs that the cluster's autoscaler may bring up; None where it says nothing."""
    from ray._private.state import state

    limits: Mapping[str, float] | None = state.get_max_resources_from_cluster_config()
    return limits


def draining_nodes() -> frozenset[str]:
    """The ids of the nodes that an operator, an autoscaler or a spot notice is about to take away."""
    from ray._private.state import state

    return frozenset(state.get_draining_nodes())


def names_of_living_actors() -> list[str]:
    """Of the connected cluster; the public list needs the dashboard, which a small head does not run."""
    from ray._private.state import actors

    return [actor["Name"] for actor in actors(actor_state_name="ALIVE").values()]


def dashboard_url() -> str:
    """Host and port of the connected cluster's dashboard; empty where it has none."""
    import ray

    return ray._private.worker.get_dashboard_url() or ""


def hush_cluster_messages() -> None:
    """Keeps cluster messages off standard output, which holds results; before Ray starts."""
    import ray

    ray._private.worker._worker_logs_enabled = False


def hush_authentication() -> None:
    """Keeps what Ray says of tokens out of the user's terminal; needs no Ray yet."""
    logging.getLogger("ray._private.authentication").setLevel(logging.ERROR)
