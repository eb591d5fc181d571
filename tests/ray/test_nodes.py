"""Three nodes: workers spread over them, films as ever; a node that dies takes nothing with it."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.ray.commands import committed, farm, started, write_spec
from tests.ray.nodes import Nodes
from tests.ray.processes import until
from tests.ray.specs import document, records, render_alone

TOPOLOGY = "sample=1,upscale=1,decode=1,segment=1"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("serial")
    return render_alone(folder / "runs", document(folder / "out", count=6)).films


def films(runs: Path) -> dict[str, str]:
    return {
        e["video"]: e["sha256"] for e in records(runs) if e["event"] == "film_delivered" and not e["preview"]
    }


def placed(runs: Path) -> dict[str, str]:
    """Node (its short id) by worker, the last placement of each."""
    return {e["worker"]: e["node"].split("/")[1] for e in records(runs) if e["event"] == "worker_placed"}


def test_workers_land_on_different_nodes(nodes: Nodes, tmp_path: Path, reference: dict[str, str]) -> None:
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=6))
    done = farm("render", spec, "--runs", runs, "-t", TOPOLOGY, "--address", nodes.address, **nodes.env)
    assert done.returncode == 0, done.stderr
    where = placed(runs)
    gpu_workers = [worker for worker in where if not worker.startswith("segment")]
    assert len({where[worker] for worker in gpu_workers}) == len(gpu_workers) == 3
    assert films(runs) == reference


def test_message_names_every_node(nodes: Nodes, tmp_path: Path) -> None:
    spec = write_spec(tmp_path, document(tmp_path / "out"))
    done = farm(
        "render", spec, "--runs", tmp_path / "runs", "-t", "mono=5", "--address", nodes.address, **nodes.env
    )
    assert done.returncode == 5
    assert "5 GPU" in done.stderr
    assert "3 GPU" in done.stderr
    assert done.stderr.count("1 GPU, 2 CPU") == 3


@pytest.mark.slow
def test_node_that_dies_under_a_busy_worker(nodes: Nodes, tmp_path: Path, reference: dict[str, str]) -> None:
    """On the two nodes that are left, two halves take the lost GPU's place."""
    runs = tmp_path / "runs"
    spec = write_spec(tmp_path, document(tmp_path / "out", count=6, sample_s=0.5))
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
    assert task in {e["task"] for e in gone}
    assert len(committed(runs)) == len(set(committed(runs)))


def _running(runs: Path, stage: str) -> str:
    """The stage's task that was started last and is not committed; empty when there is none."""
    if not runs.exists():
        return ""
    done = set(committed(runs))
    began = [e["task"] for e in records(runs) if e["event"] == "task_started"]
    return next((t for t in reversed(began) if t.endswith(stage) and t not in done), "")
