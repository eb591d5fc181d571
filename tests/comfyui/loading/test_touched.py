"""A model file that is exchanged while ComfyUI loads it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from actors.engines.comfyui.loading.loaded import Loaded
    from jobs.tasks.task import Stage

pytestmark = [pytest.mark.comfyui, pytest.mark.usefixtures("ltxv")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_model_that_was_another_while_it_was_loaded_starts_no_worker(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    from actors.engines.comfyui.loading.loaded import Loaded
    from actors.worker.order import WorkerConfig
    from actors.worker.worker import StageWorker
    from jobs.errors import CannotRun
    from jobs.spec.engine import EngineConfig
    from jobs.store.store import Store
    from jobs.tasks.task import Stage

    model = Path(shutil.copy(folder / "ltxv.safetensors", tmp_path / "model.safetensors"))
    load = Loaded.load

    def put_another_for_a_while() -> None:
        aside = model.rename(tmp_path / "aside")
        model.write_bytes(b"another")
        aside.replace(model)

    def meanwhile(loaded: Loaded, stages: frozenset[Stage]) -> None:
        if when == "before":
            put_another_for_a_while()
        load(loaded, stages)
        if when == "after":
            put_another_for_a_while()

    monkeypatch.setattr(Loaded, "load", meanwhile)
    config = EngineConfig(name="comfyui", checkpoint=str(model))
    runs = str(tmp_path / "runs")
    worker = StageWorker(WorkerConfig(config, frozenset({Stage.DECODE}), "cpu", 1, runs, "job"))
    with (
        Store.open(runs, "job").lock(),
        pytest.raises(CannotRun, match=f"{model} was touched while it was loaded"),
    ):
        worker.setup()
    worker.destroy()
