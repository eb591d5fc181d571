"""`auto` on the GPUs that a cluster has, or that its autoscaler may bring."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cluster.inventory import Inventory, NodeFacts
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.topology.auto import choose_topology, memory_warning
from jobs.errors import CapacityError
from jobs.loading.load import load_spec

HEAD = NodeFacts("h", "head", 0, 4)
TWO = tuple(NodeFacts(f"w{n}", f"w{n}", 1, 8, "H100") for n in range(2))


@pytest.fixture
def session(tmp_path: Path) -> JobSession:
    """Sixty-four clips."""
    clips = [{"name": f"a{n}", "chunks": [{"generate": {"prompt": "a boat"}}]} for n in range(64)]
    size = {"width": 64, "height": 64}
    spec = {"engine": {"name": "fake", "fake": {"sample_s": 4.0}}, "defaults": size, "videos": clips}
    return JobSession(load_spec({"name": "harbor", **spec}), Scope(str(tmp_path)))


@pytest.mark.parametrize("there", [(HEAD,), (HEAD, *TWO)], ids=["none yet", "two of them"])
def test_gpus_that_may_still_come_are_counted(session: JobSession, there: tuple[NodeFacts, ...]) -> None:
    growing = Inventory(there, 16.0, 128.0)
    assert choose_topology(session.remaining_work, growing, None).winner.topology.gpus == 16
    assert choose_topology(session.remaining_work, growing, 8).winner.topology.gpus == 8
    assert choose_topology(session.remaining_work, growing, 100).winner.topology.gpus == 16


def test_without_bounds_the_job_is_the_bound(session: JobSession) -> None:
    endless = Inventory((HEAD,), math.inf, math.inf)
    assert choose_topology(session.remaining_work, endless, None).winner.topology.gpus == 64
    assert choose_topology(session.remaining_work, endless, 8).winner.topology.gpus == 8


def test_without_an_autoscaler_there_is_what_there_is(session: JobSession) -> None:
    assert choose_topology(session.remaining_work, Inventory((HEAD, *TWO)), 8).winner.topology.gpus == 2
    with pytest.raises(CapacityError, match="0 GPUs"):
        choose_topology(session.remaining_work, Inventory((HEAD,)), 8)


def test_models_of_unknown_size_are_told_on_real_gpus(tmp_path: Path) -> None:
    spec = {
        "name": "harbor",
        "engine": {"name": "diffusers", "checkpoint": "Lightricks/LTX-Video"},
        "defaults": {"width": 64, "height": 64},
        "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "a boat"}}]}],
    }
    job = JobSession(load_spec(spec), Scope(str(tmp_path)))
    assert "Lightricks/LTX-Video" in memory_warning(job.remaining_work, Inventory(TWO))
    assert memory_warning(job.remaining_work, Inventory((NodeFacts("w", "w", 2, 8),))) == ""


def test_what_fits_or_has_no_models_is_no_matter(session: JobSession) -> None:
    assert memory_warning(session.remaining_work, Inventory(TWO)) == ""
