"""LTX-2's two published passes, the distilled LoRA in the second one alone, beside ltx-pipelines 1.0.0."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fidelity import Measured, difference

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]
SAME = 1e-4
STRENGTH = 0.8
EVERY = {"blocks": [1], "audio_cfg": 7.0, "modality": 3.0, "rescale": 0.7}
GUIDED = {"cfg": 3.0, "guider": {"name": "stg", "params": EVERY}}


class Ledger:
    """What a `ModelLedger` answers, on modules that are there; `merged` is the transformer of its LoRAs."""

    def __init__(self, parts: dict[str, Any], plain: Any, merged: Any) -> None:
        self.parts, self.plain, self.merged = parts, plain, merged

    def with_additional_loras(self, loras: Any) -> Ledger:
        assert [lora.strength for lora in loras] == [STRENGTH]
        return Ledger(self.parts, self.merged, self.merged)

    def transformer(self) -> Any:
        from ltx_core.model.transformer.model import X0Model

        return X0Model(self.plain)

    def video_encoder(self) -> Any:
        return self.parts["encoder"]

    def spatial_upsampler(self) -> Any:
        return self.parts["upsampler"]

    def __getattr__(self, name: str) -> Any:
        return lambda: None


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_each_step_of_both_passes(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measured: Measured
) -> None:
    pytest.importorskip("ltx_pipelines", reason="needs the environment of `make test-reference-comfyui`")
    import ltx2_two_stages
    from ltx_core_files import merge_lora, write_file

    from tests.official.ic_lora import write_ic_lora
    from tests.reference.ltx2.test_ltx2_steps import contexts

    path, again = tmp_path / "model.safetensors", tmp_path / "again.safetensors"
    parts, merged = write_file(version, path), write_file(version, again)["transformer"]
    lora = write_ic_lora(tmp_path / "lora.safetensors", path, 1)
    merge_lora(merged, lora, STRENGTH)
    upsampler, parts["upsampler"] = _upsampler(tmp_path / "upsampler.safetensors")
    words = contexts(version)
    ledger = Ledger(parts, parts["transformer"], merged)
    wanted = ltx2_two_stages.run(monkeypatch, ledger, (lora, STRENGTH), words)
    engine = {"checkpoint": str(path), "upscale_model": str(upsampler)}
    loras = [{"path": str(lora), "strength": {"sample": 0.0, "upscale": STRENGTH}}]
    got = _farm_steps(monkeypatch, {**engine, "loras": loras}, words, wanted.noise)
    assert [len(steps) for steps in got] == [len(steps) for steps in wanted.steps] == [3, 3]
    for stage, one, other in zip(("first", "second"), got, wanted.steps, strict=True):
        found = [difference(made, theirs) for made, theirs in zip(one, other, strict=True)]
        measured.note("ltx2 steps", f"two passes, a LoRA in the second: the {stage}", version, *found)
        assert max(found) <= SAME, f"{stage}: {[f'{step:.1e}' for step in found]}"
    without = _farm_steps(monkeypatch, engine, words, wanted.noise)
    assert difference(without[0][-1], wanted.steps[0][-1]) <= SAME
    assert difference(without[1][-1], wanted.steps[1][-1]) > 100 * SAME


def _upsampler(path: Path) -> tuple[Path, Any]:
    """A narrow one, and ltx-core's module with the same weights."""
    from ltx_core.model.upsampler import LatentUpsamplerConfigurator
    from safetensors.torch import load_file

    from benchmarks.gpu.weights import upsampler_layout, write

    made = upsampler_layout("rehearsal")
    write(path, made, "cpu")
    module = LatentUpsamplerConfigurator.from_config(made.configs)
    module.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return path, module.eval()


def _farm_steps(
    monkeypatch: pytest.MonkeyPatch,
    engine: dict[str, Any],
    words: dict[str, tuple[Any, Any]],
    noise: list[Any],
) -> list[list[Any]]:
    """Both passes of one job through the engine, as a worker runs them."""
    import torch

    from actors.engines.diffusers.engine import DiffusersEngine
    from actors.engines.diffusers.ltx2 import runner
    from actors.engines.diffusers.ltx2.denoise import denoise
    from actors.payload import from_torch
    from actors.steps.run import run_stage
    from jobs.tasks.task import Stage

    stages = [torch.cat(noise[:2], dim=1), torch.cat(noise[2:], dim=1)]
    seen: list[list[Any]] = []

    def watched(model: Any, run: Any, pieces: Any, sound: Any, words: Any) -> Any:
        seen.append([])
        seeing = replace(run, watch=seen[-1].append)
        return denoise(model, seeing, pieces, sound, words, stages[len(seen) - 1])

    monkeypatch.setattr(runner, "denoise", watched)
    graph = _graph(engine)
    made = DiffusersEngine(graph[0], "cpu", 2)
    made.setup(frozenset({Stage.SAMPLE, Stage.UPSCALE}))
    told = _told(words)
    known: dict[str, Any] = {}
    for task in graph[1]:
        inputs: dict[str, list[Any]] = {}
        for need in task.needs:
            inputs.setdefault(need.role, []).append(known[need.task])
        known[task.id] = (
            from_torch(told) if task.stage is Stage.ENCODE else run_stage(task, inputs, made, Path())
        )
    monkeypatch.setattr(runner, "denoise", denoise)
    return seen


def _told(words: dict[str, tuple[Any, Any]]) -> dict[str, Any]:
    """What an encode task makes of the prompts, every token counted."""
    import torch

    told: dict[str, Any] = {}
    for which, (video, audio) in words.items():
        told |= {which: video, f"{which}_audio": audio, f"{which}_mask": torch.ones(video.shape[:2]).bool()}
    return told


def _graph(engine: dict[str, Any]) -> tuple[Any, list[Any]]:
    """The engine's settings, and the tasks of a clip in its two passes."""
    import ltx2_two_stages as sizes

    from jobs.planning.plan import make_plan
    from jobs.spec.job import JobSpec
    from jobs.tasks.graph import build_graph
    from jobs.tasks.task import Stage

    first = {"width": sizes.WIDTH // 2, "height": sizes.HEIGHT // 2, "steps": sizes.STEPS}
    chunks = [{"generate": {"num_frames": sizes.FRAMES}}]
    document = {
        "version": 3,
        "name": "two",
        "engine": engine,
        "defaults": {**first, "frame_rate": sizes.RATE, "sampler": "euler", "prompt": "a ball", **GUIDED},
        "upscale": {"cfg": 1.0, "sampler": "euler"},
        "videos": [{"name": "one", "sound": [{"generate": True}], "chunks": chunks}],
    }
    spec = JobSpec.model_validate(document, strict=False)
    tasks = build_graph(make_plan(spec, None)).tasks.values()
    wanted = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE)
    return spec.engine, [task for task in tasks if task.stage in wanted]
