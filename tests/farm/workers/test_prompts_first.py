"""A render whose workers have no room for the text encoder beside the rest."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cluster.inventory import NodeFacts
from cluster.local.cluster import LocalCluster
from farm.events import TaskStarted
from farm.topology.candidates import Footprint
from jobs.tasks.task import Stage
from tests.farm.execution.local_render import render
from tests.farm.execution.serial_renders import run

if TYPE_CHECKING:
    from farm.events import Event

WEIGHTS = {Stage.ENCODE: {"text encoder": 30.0}, Stage.SAMPLE: {"transformer": 35.0}}
WORKING = {Stage.DECODE: 20.0}


def footprint(_engine: object, _tasks: object, device_gib: float) -> Footprint:
    """The fake engine has no models: these are the sizes of some."""
    return Footprint(device_gib, WEIGHTS, WORKING)


@pytest.mark.parametrize("card", ["H100", "H200"])
def test_prompts_come_first_where_the_text_encoder_has_no_room(
    card: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.topology.auto.engine_footprint", footprint)
    freed: list[str] = []
    monkeypatch.setattr("actors.engines.fake.FakeEngine.free", lambda _, level: freed.append(level))
    started: list[TaskStarted] = []

    def watch(event: Event) -> None:
        if isinstance(event, TaskStarted):
            started.append(event)

    cluster = LocalCluster([NodeFacts("n", "here", 1, 4, card, object_store_bytes=1 << 30)])
    assert render(tmp_path, film(tmp_path), "mono=1", cluster, meanwhile=watch).outcome == "done"
    encodes = [event.task.startswith("encode/") for event in started]
    if card == "H100":
        assert encodes[:6] == [True] * 6
        assert started[0].reason.startswith("prompts come first")
        assert set(freed) == {"prompts"}
    else:
        assert encodes[:6] != [True] * 6
        assert freed == []


def film(folder: Path) -> dict[str, Any]:
    """Of six shots, each with a prompt of its own."""
    chunks = [{"generate": {"prompt": f"number {at}", "num_frames": 17}} for at in range(6)]
    return {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "dawn", "chunks": chunks}],
        "output": {"dir": str(folder / "out"), "preset": "ultrafast"},
    }


def test_in_one_process_prompts_come_first_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.execution.serial.sizes_known", lambda _: True)
    monkeypatch.setattr("farm.execution.serial.engine_footprint", footprint)
    monkeypatch.setattr("farm.execution.serial._memory_gib", lambda _: 80.0)
    started = [event for event in run(film(tmp_path), tmp_path / "runs") if isinstance(event, TaskStarted)]
    assert [event.task.startswith("encode/") for event in started[:7]] == [True] * 6 + [False]
    assert started[0].reason.startswith("prompts first")
