"""A cluster that has scaled to nothing: `auto` counts what its autoscaler may bring, and waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.estimates.durations import Place, read_durations
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.ray.commands import started, write_spec
from tests.ray.nodes import Nodes, head_and_nodes
from tests.ray.processes import until
from tests.ray.specs import load, records, tiny_document


@pytest.fixture
def growing() -> Iterator[Nodes]:
    """A head alone, and what an autoscaler would have told the cluster: two nodes at most. The test brings
    them."""
    with head_and_nodes(0) as running:
        tell_limits(running.address, nodes=2, gpus=1, cpus=2)
        yield running


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


def test_auto_probes_the_first_node_that_comes_and_renders_on_all(growing: Nodes, tmp_path: Path) -> None:
    data, runs, log = tiny_document(tmp_path / "out", 2, 4), tmp_path / "runs", tmp_path / "log"
    spec = write_spec(tmp_path, data)
    words = ("render", spec, "--runs", runs, "-t", "auto", "--address", growing.address)
    with started(*words, log=log, **growing.env) as driver:
        until(lambda: "its autoscaler may reach 2 GPU" in log.read_text(), 120, "it waits for a node")
        growing.refill(1)
        until(lambda: "topology mono=2" in log.read_text(), 120, "it counts both")
        growing.refill(2)
        assert driver.wait(timeout=240) == 0, log.read_text()
    ready = {event["worker"] for event in records(runs) if event["event"] == "worker_ready"}
    assert {"mono-0", "mono-1"} <= ready
    known, place = read_durations(str(runs)), Place(load(data).spec.engine, "cpu")
    tasks = build_graph(make_plan(load(data).spec)).tasks.values()
    measured = [task for task in tasks if task.stage in (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE)]
    assert all(known.knows(place, task) for task in measured)
