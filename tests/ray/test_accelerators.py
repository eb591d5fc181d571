"""Nodes with GPUs of different types, as Ray tells them."""

from __future__ import annotations

from pathlib import Path

from farm.estimates.durations import read_durations
from tests.ray.commands import farm, write_spec
from tests.ray.nodes import MIB, head_and_nodes
from tests.ray.specs import document, records


def test_the_type_that_most_have_speaks_for_the_job_and_names_its_stage_times(tmp_path: Path) -> None:
    """The GPUs are logical, so that workers on all nodes make the same films, and all serve."""
    spec, runs = write_spec(tmp_path, document(tmp_path / "out", videos=6, sample_s=0.3)), tmp_path / "runs"
    with head_and_nodes(0) as running:
        for kind in ("A100", "H100", "H100"):
            running.cluster.add_node(
                num_gpus=1,
                num_cpus=2,
                object_store_memory=80 * MIB,
                resources={f"accelerator_type:{kind}": 1.0},
            )
        words = ("render", spec, "--runs", runs, "-t", "mono", "--address", running.address)
        done = farm(*words, **running.env)
    assert done.returncode == 0, done.stderr
    used = {event["worker"] for event in records(runs) if event["event"] == "task_started"}
    assert {"mono-0", "mono-1", "mono-2"} <= used
    keys = read_durations(str(runs)).means
    assert any("|H100|sample" in key for key in keys)
    assert not any("|A100|" in key for key in keys)
