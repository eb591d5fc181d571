"""A render on a card that has no room for a whole model: workers begin with its blocks in host memory."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from actors.engines.make import make_engine
from cluster.inventory import Inventory, NodeFacts
from cluster.local.cluster import LocalCluster
from farm.events import Notice
from farm.execution import serial
from farm.topology.candidates import Footprint
from jobs.tasks.task import Stage
from jobs.weights.use import TRANSFORMER
from tests.farm.execution.local_render import render
from tests.farm.execution.serial_renders import run
from tests.farm.workers.test_prompts_first import film

if TYPE_CHECKING:
    from farm.events import Event

SAID = (
    "sampling brings its blocks over from host memory one by one: slower, same film; "
    "each worker needs up to 33 GiB of host memory for them, which is not checked"
)


def footprint(_engine: object, _tasks: object, device_gib: float) -> Footprint:
    """The fake engine has no models: these are the sizes of some."""
    streamed = {TRANSFORMER: 33.0} if device_gib < 100.0 else {}
    return Footprint(device_gib, {Stage.SAMPLE: {TRANSFORMER: 3.0}}, streamed=streamed)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """What engines are asked to stream."""
    found: list[frozenset[str]] = []

    def noted(config: Any, device: str, threads: int, streamed: frozenset[str]) -> Any:
        found.append(streamed)
        return make_engine(config, device, threads, streamed)

    monkeypatch.setattr("actors.worker.worker.make_engine", noted)
    return found


@pytest.mark.parametrize("topology", ["mono=1", "auto"])
@pytest.mark.parametrize(("card", "streams"), [("H100", True), ("H200", False)])
def test_workers_stream_what_the_plan_says(
    card: str,
    streams: bool,
    topology: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    asked: list[frozenset[str]],
) -> None:
    monkeypatch.setattr("farm.topology.auto.engine_footprint", footprint)
    said: list[str] = []

    def watch(event: Event) -> None:
        if isinstance(event, Notice):
            said.append(event.message)

    cluster = LocalCluster([NodeFacts("n", "here", 1, 4, card, object_store_bytes=1 << 30)])
    assert render(tmp_path, film(tmp_path), topology, cluster, meanwhile=watch).outcome == "done"
    assert set(asked) == {frozenset({TRANSFORMER} if streams else ())}
    assert said.count(SAID) == streams


class Asked(LocalCluster):
    """Its nodes tell the memory of their cards once they are asked."""

    def with_memory(self, inventory: Inventory, known: Inventory | None = None) -> Inventory:
        return replace(inventory, nodes=tuple(replace(node, device_gib=141.0) for node in inventory.nodes))


@pytest.mark.parametrize("topology", ["mono=1", "auto"])
def test_a_card_that_is_larger_than_its_type_tells_has_whole_models(
    topology: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[frozenset[str]]
) -> None:
    monkeypatch.setattr("farm.topology.auto.engine_footprint", footprint)
    monkeypatch.setattr("farm.execution.driver.sizes_known", lambda _: True)
    cluster = Asked([NodeFacts("n", "here", 1, 4, "A100", object_store_bytes=1 << 30)])
    assert render(tmp_path, film(tmp_path), topology, cluster).outcome == "done"
    assert set(asked) == {frozenset()}


def test_in_one_process_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[frozenset[str]]
) -> None:
    monkeypatch.setattr("farm.execution.serial.sizes_known", lambda _: True)
    monkeypatch.setattr("farm.execution.serial.engine_footprint", footprint)
    monkeypatch.setattr("farm.execution.serial._memory_gib", lambda _: 24.0)
    events = list(run(film(tmp_path), tmp_path / "runs"))
    assert asked == [frozenset({TRANSFORMER})]
    assert [event.message for event in events if isinstance(event, Notice)].count(SAID) == 1


def test_in_one_process_its_own_device_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[frozenset[str]]
) -> None:
    """Here a CPU, beside a small card; and a large one, as torch tells of it."""
    torch = pytest.importorskip("torch")
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho 4096\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("farm.execution.serial.sizes_known", lambda _: True)
    monkeypatch.setattr("farm.execution.serial.engine_footprint", footprint)
    assert list(run(film(tmp_path), tmp_path / "runs"))
    assert asked == [frozenset()]
    large = SimpleNamespace(total_memory=80 * 2**30)
    monkeypatch.setattr(torch.cuda, "get_device_properties", {"cuda": large}.__getitem__)
    assert serial._memory_gib("cuda") == 80.0
