"""Whose the workers of a cluster are, told by the names of their actors."""

from __future__ import annotations

from cluster.holders import actor_name, gpus_held
from cluster.inventory import WorkerRequest


def test_gpus_are_counted_by_job() -> None:
    requests = [
        WorkerRequest("mono-0", gpus=1.0),
        WorkerRequest("mono-1", gpus=0.5),
        WorkerRequest("segment-0"),
    ]
    names = [actor_name(job, request) for job in ("dusk", "dawn.v2") for request in requests]
    assert len(set(names)) == 6
    foreign = ["", "serve:proxy", "somebody/else/4"]
    assert gpus_held([*names, *foreign]) == {"dawn.v2": 1.5, "dusk": 1.5}
    assert gpus_held(names, but="dusk") == {"dawn.v2": 1.5}


def test_two_incarnations_of_a_worker_have_two_names() -> None:
    request = WorkerRequest("mono-0", gpus=1.0)
    assert actor_name("j", request) != actor_name("j", request)
    assert gpus_held([actor_name("j", WorkerRequest("segment-0", cpus=1.0))]) == {}
