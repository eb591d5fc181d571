"""A film of 10,000 chunks: the driver's memory stays flat, and nothing shared is kept once it was read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.events import JobFinished, TaskCommitted
from farm.execution.driver import RayOptions, render_on_ray
from farm.session.opening import Scope
from tests.ray.kit.specs import chunks, document, load

if TYPE_CHECKING:
    from cluster.base import Cluster

ALLOWED_BYTES = 100_000_000


def rss_bytes() -> int:
    """Resident set of this process, the driver."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmRSS")


def growth_bytes(folder: Path, count: int) -> tuple[int, int]:
    """RSS from before the job was planned to its last commit, and the number of commits."""
    data = {**document(folder / "out", videos=1), "upscale": None}
    data["videos"] = [{"name": "take0", "chunks": chunks(count)}]
    before, after, commits = rss_bytes(), 0, 0
    options = RayOptions("sample=1,decode=1,segment=1")
    for event in render_on_ray(load(data), Scope(str(folder / "runs")), options):
        if isinstance(event, TaskCommitted):
            commits += 1
            after = rss_bytes()
        if isinstance(event, JobFinished):
            assert event.outcome == "done"
    return after - before, commits


@pytest.fixture
def warm(ray_session: Cluster, tmp_path: Path) -> None:  # noqa: ARG001  for its effect
    """What is imported and cached by any job, however short."""
    growth_bytes(tmp_path / "warm", 3)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.usefixtures("warm")
def test_ten_thousand_chunks(tmp_path: Path) -> None:
    grown, commits = growth_bytes(tmp_path, 10_000)
    print(f"{commits} commits, driver RSS grew by {grown / 1e6:.1f} MB")
    assert commits >= 30_000
    assert grown < ALLOWED_BYTES


@pytest.mark.long
@pytest.mark.usefixtures("warm")
def test_a_hundred_chunks(tmp_path: Path) -> None:
    grown, _ = growth_bytes(tmp_path, 100)
    assert grown < ALLOWED_BYTES / 10
