"""A render says at its start that segments will hold up its GPUs."""

from __future__ import annotations

from pathlib import Path

from cluster.session import Session
from farm.estimates.durations import Durations, Place, keep_durations
from farm.events import Notice, TaskStarted
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.ray.specs import document, load, render


def test_a_pool_that_is_too_small_is_told_before_anything_starts(
    ray_session: Session, tmp_path: Path
) -> None:
    data, known = document(tmp_path / "out", videos=4, count=2), Durations()
    spec = load(data).spec
    for task in build_graph(make_plan(spec)).tasks.values():
        if task.stage is Stage.SEGMENT:
            known.observe_step(Place(spec.engine, "cpu"), task, 20.0)
    keep_durations(str(tmp_path / "runs"), known)
    rendered = render(tmp_path / "runs", data, "mono=1,segment=1")
    first = next(event for event in rendered.events if isinstance(event, Notice | TaskStarted))
    assert isinstance(first, Notice)
    assert first.message.startswith("segments are the bottleneck: with `segment=1` the job takes 160 s")
    assert "Write `segment=7`" in first.message
    assert rendered.outcome == "done"
