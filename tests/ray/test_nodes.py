"""Three nodes: workers spread over them, films as ever; a node that dies takes nothing with it."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.ray.kit.commands import committed, environment, farm, started, wait_for_commits, write_spec
from tests.ray.kit.head import tool
from tests.ray.kit.processes import until
from tests.ray.kit.specs import JOB, document, records

if TYPE_CHECKING:
    from tests.ray.kit.nodes import Nodes

TOPOLOGY = "sample=1,upscale=1,decode=1,segment=1"


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


def test_workers_land_on_different_nodes(nodes: Nodes, tmp_path: Path, reference: dict[str, str]) -> None:
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=3))
    done = farm("render", spec, "--runs", runs, "-t", TOPOLOGY, "--address", nodes.address, **nodes.env)
    assert done.returncode == 0, done.stderr
    where = placed(runs)
    gpu_workers = [worker for worker in where if not worker.startswith("segment")]
    assert len({where[worker] for worker in gpu_workers}) == len(gpu_workers) == 3
    assert films(runs) == reference


@contextmanager
def walled_off(nodes: Nodes, place: Path) -> Iterator[None]:
    """A fourth node that sees an empty file system where the others see `place`."""
    if (
        os.geteuid() != 0
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("needs the right to mount")
    start = [
        tool("ray"), "start", f"--address={nodes.address}", "--num-gpus=1", "--num-cpus=1", "--block",
        "--disable-usage-stats", "--object-store-memory=83886080", "--dashboard-agent-listen-port=0",
        "--min-worker-port=0", "--max-worker-port=0", f"--node-ip-address={nodes.address.split(':')[0]}",
    ]  # fmt: skip
    script = f"mount -t tmpfs none {shlex.quote(str(place))} && exec {shlex.join(start)}"
    process = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script],
        env=environment(**nodes.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=20)


def test_node_that_does_not_share_the_storage(nodes: Nodes, tmp_path: Path) -> None:
    """Nothing is rendered, and the message names the node and the folder."""
    runs = tmp_path / "runs"
    runs.mkdir()
    spec = write_spec(tmp_path, document(tmp_path / "out"))
    words = ("render", spec, "--runs", runs, "-t", "mono=4,segment=1", "--address", nodes.address)
    with walled_off(nodes, runs):
        end_s = time.monotonic() + 60
        done = farm(*words, **nodes.env)
        while "the cluster has 3 GPU" in done.stderr and time.monotonic() < end_s:
            done = farm(*words, **nodes.env)
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
        until(lambda: _running(runs, "sample") and len(committed(runs)) >= 4, 120, "sampling has begun")
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
