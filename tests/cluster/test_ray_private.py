"""What the farm uses of Ray without a public name is there, in the form in which it is used."""

from __future__ import annotations

import inspect
import logging
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_private_names_are_used_in_one_place() -> None:
    users = [
        path.relative_to(ROOT).as_posix()
        for folder in ("farm", "jobs", "actors", "cluster", "examples")
        for path in (ROOT / folder).rglob("*.py")
        if "ray._" in path.read_text()
    ]
    assert users == ["cluster/ray_private.py"]


def test_what_is_called_takes_what_it_is_given() -> None:
    import ray
    from ray._private.state import actors, state

    assert not inspect.signature(state.get_max_resources_from_cluster_config).parameters
    assert "actor_state_name" in inspect.signature(actors).parameters
    assert not inspect.signature(state.get_draining_nodes).parameters
    assert not inspect.signature(ray._private.worker.get_dashboard_url).parameters


def test_what_is_set_is_read() -> None:
    """Ray's worker asks this before it prints messages of the cluster."""
    import ray

    assert isinstance(ray._private.worker._worker_logs_enabled, bool)
    assert "_worker_logs_enabled" in inspect.getsource(ray._private.worker)


def test_the_logger_of_tokens_has_its_name() -> None:
    from ray._private.authentication import authentication_utils

    name = authentication_utils.__name__
    assert logging.getLogger(name).name.startswith("ray._private.authentication")
