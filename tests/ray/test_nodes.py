"""Three nodes: what Ray says of them, one that does not share the storage, one that dies.

`tests/farm/execution/test_lost_nodes.py` has the rest on a cluster that is made up.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.ray.kit.commands import (
    ROOT,
    committed,
    environment,
    farm,
    started,
    wait_for_commits,
    write_spec,
)
from tests.ray.kit.head import tool
from tests.ray.kit.nodes import ACCELERATOR, wait_until_joined
from tests.ray.kit.processes import until
from tests.ray.kit.specs import JOB, document, records

if TYPE_CHECKING:
    from tests.ray.kit.nodes import Nodes


@pytest.fixture(scope="module")
def reference(serial_films: Callable[..., dict[str, str]]) -> dict[str, str]:
    return serial_films(videos=2, count=3)


def films(runs: Path) -> dict[str, str]:
    return {
        e["video"]: e["sha256"] for e in records(runs) if e["event"] == "film_delivered" and not e["preview"]
    }


def placed(runs: Path) -> dict[str, str]:
    """Node (its short id) by worker, the last placement of each."""
    return {e["worker"]: e["node"].split("/")[1] for e in records(runs) if e["event"] == "worker_placed"}


ASK = """
import json, sys
from cluster.session import SessionConfig, open_session

with open_session(SessionConfig(address=sys.argv[1])) as cluster:
    has = cluster.inventory()
    kinds = sorted((node.gpus, node.cpus, node.accelerator or "") for node in has.nodes)
    print(json.dumps([kinds, has.device, has.reach_gpus, has.reach_cpus, cluster.free(), cluster.local]))
"""


def asked(running: Nodes) -> Any:
    """In a process of its own: one that has another Ray would not see nodes that come later."""
    done = subprocess.run(
        [sys.executable, "-c", ASK, running.address],
        env=environment(**running.env), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def announce(address: str, nodes: int, gpus: int, cpus: int) -> None:
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


def test_types_of_nodes_and_the_reach_of_an_autoscaler(three: Nodes) -> None:
    """Beside the head one node is enough, where no other test has started three."""
    three.refill(1)
    count = len(three.raylets)
    announce(three.address, nodes=5, gpus=1, cpus=2)
    there = [[0, 0, ""], *[[1, 2, ACCELERATOR]] * count]
    assert asked(three) == [there, ACCELERATOR, 5, 10, f"{count} GPU, {2 * count} CPU", False]


@contextmanager
def walled_off(nodes: Nodes, place: Path) -> Iterator[None]:
    """A fourth node, of two GPUs, that sees an empty file system where the others see `place`."""
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("needs the right to mount")
    start = [
        tool("ray"), "start", f"--address={nodes.address}", "--num-gpus=2", "--num-cpus=1", "--block",
        "--disable-usage-stats", "--object-store-memory=83886080", "--dashboard-agent-listen-port=0",
        "--min-worker-port=0", "--max-worker-port=0", f"--node-ip-address={nodes.address.split(':')[0]}",
    ]  # fmt: skip
    script = f"mount -t tmpfs none {shlex.quote(str(place))} && exec {shlex.join(start)}"
    log = place.with_name("node.log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            env=environment(**nodes.env), stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        wait_until_joined(process, log)
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


@pytest.mark.long
def test_node_that_does_not_share_the_storage(nodes: Nodes, tmp_path: Path) -> None:
    """The only one with room. Nothing is rendered, and the message names the node and the folder."""
    runs = tmp_path / "runs"
    runs.mkdir()
    spec = write_spec(tmp_path, document(tmp_path / "out"))
    with walled_off(nodes, runs):
        done = farm("render", spec, "--runs", runs, "-t", "mono=1@2", "--address", nodes.address, **nodes.env)
    assert done.returncode == 5, done.stderr
    assert "does not share the driver's storage" in done.stderr
    assert f"{runs}/{JOB} is not shared" in done.stderr
    assert not any(e["event"] == "task_committed" for e in records(runs))


@pytest.mark.slow
def test_node_that_dies_under_a_busy_worker(nodes: Nodes, tmp_path: Path, reference: dict[str, str]) -> None:
    """On the two nodes that are left, two halves take the lost GPU's place."""
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=3, sample_s=0.5))
    topology = "sample=1@0.5,upscale=1@0.5,decode=1@0.5,segment=1"
    words = ("render", spec, "--runs", runs, "-t", topology, "--address", nodes.address)
    with started(*words, log=tmp_path / "log", **nodes.env) as driver:
        until(lambda: bool(_running(runs, "sample")) and len(committed(runs)) >= 4, 120, "sampling has begun")
        victim = placed(runs)["encode+sample-0"]
        raylet = next(pid for node, pid in nodes.raylets.items() if node.startswith(victim))
        task = _running(runs, "sample")
        os.kill(raylet, signal.SIGKILL)
        code = driver.wait(timeout=180)
    assert code == 0, (tmp_path / "log").read_text()
    assert films(runs) == reference
    gone = [e for e in records(runs) if e["event"] == "worker_gone"]
    assert task in {lost["task"] for e in gone for lost in e["lost"]}
    assert len(committed(runs)) == len(set(committed(runs)))


def _running(runs: Path, stage: str) -> str:
    """The stage's task that was started last and is not committed; empty when there is none."""
    if not runs.exists():
        return ""
    done = set(committed(runs))
    began = [e["task"] for e in records(runs) if e["event"] == "task_started"]
    return next((t for t in reversed(began) if t.endswith(stage) and t not in done), "")


@pytest.mark.slow
def test_a_node_that_ray_drains_gives_its_work_to_the_others(
    nodes: Nodes, tmp_path: Path, reference: dict[str, str]
) -> None:
    """Its worker finishes what it runs, is started again on another node, and nothing is begun twice."""
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=3, sample_s=2.0))
    words = ["render", spec, "--runs", runs, "-t", "sample=1@0.5,upscale=1@0.5,decode=1@0.5,segment=1"]
    with started(*words, "--address", nodes.address, log=tmp_path / "log", **nodes.env) as driver:
        wait_for_commits(runs, 3)
        worker = next(worker for worker in placed(runs) if "sample" in worker)
        first = placed(runs)[worker]
        drain(nodes, first)
        until(lambda: placed(runs)[worker] != first, 60, f"{worker} on another node than {first}")
        assert driver.wait(timeout=150) == 0, (tmp_path / "log").read_text()
    assert films(runs) == reference
    begun = [e["task"] for e in records(runs) if e["event"] == "task_started"]
    assert len(begun) == len(set(begun))


def drain(nodes: Nodes, short_id: str) -> None:
    """As a spot notice does, through Ray's own command."""
    node = next(node for node in nodes.raylets if node.startswith(short_id))
    why = ["--reason", "DRAIN_NODE_REASON_PREEMPTION", "--reason-message", "spot"]
    command = [tool("ray"), "drain-node", f"--address={nodes.address}", f"--node-id={node}", *why]
    subprocess.run([*command, "--deadline-remaining-seconds=60"], check=True, capture_output=True, timeout=60)
    nodes.raylets.pop(node)
