"""`farm selftest`: it passes on models that are whole, and fails on one whose statistics are exchanged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from actors.models import TINY_CHECKPOINT
from farm.cli.main import run
from farm.selftest.film import seam_ratios
from farm.selftest.run import Selftest, SelftestRequest, examine
from jobs.spec.engine import EngineConfig

STATISTICS = "vae.per_channel_statistics."
Tensors = dict[str, torch.Tensor]


def written(
    path: Path, change: Callable[[Tensors, dict[str, str]], None], model: Path = TINY_CHECKPOINT
) -> Path:
    """A model, changed."""
    with safe_open(model, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata())
    change(tensors, metadata)
    save_file(tensors, path, metadata=metadata)
    return path


def exchanged(tensors: Tensors, _: dict[str, str]) -> None:
    mean, std = f"{STATISTICS}mean-of-means", f"{STATISTICS}std-of-means"
    tensors[mean], tensors[std] = tensors[std], tensors[mean]


def random_weights(tensors: Tensors, metadata: dict[str, str]) -> None:
    """As a published file is laid out: no text encoder, no upsampler, statistics that nobody uses."""
    draw = torch.Generator().manual_seed(3)
    for name in list(tensors):
        if not name.startswith(("model.", "vae.")):
            del tensors[name]
        elif tensors[name].ndim > 1:
            scale = tensors[name][0].numel() ** -0.5
            tensors[name] = torch.randn(tensors[name].shape, generator=draw).mul(scale).half()
    for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means"):
        tensors[STATISTICS + name] = torch.rand(128, generator=draw)
    config = json.loads(metadata["config"])
    metadata["config"] = json.dumps({key: config[key] for key in ("transformer", "vae")})


def without_words(tensors: Tensors, metadata: dict[str, str]) -> None:
    """As published files are."""
    for name in [name for name in tensors if name.startswith("text_encoder.")]:
        del tensors[name]
    config = json.loads(metadata["config"])
    metadata["config"] = json.dumps({key: config[key] for key in config if key != "text_encoder"})


def examined(checkpoint: Path | None, trained: bool = True, **more: object) -> Selftest:
    """A short examination: 17 frames, then five times 8."""
    engine = EngineConfig(checkpoint=str(checkpoint)) if checkpoint else EngineConfig()
    settings = {"frames": 17, "new_frames": 8, "steps": 5, **more}
    return examine(SelftestRequest(engine, "cpu", 1, trained, **settings), lambda _: None)  # type: ignore[arg-type]


def verdicts(result: Selftest) -> dict[str, str]:
    return {part.name: part.verdict for part in result.parts}


def test_the_bundled_model_passes() -> None:
    result = examined(None, steps=8, size=(96, 96))
    assert [name for name, verdict in verdicts(result).items() if verdict != "pass"] == ["reference"]
    assert result.verdict == "pass"
    numbers = {part.name: part.numbers for part in result.parts}
    assert len(numbers["film"]["seams"]) == 5
    assert result.peak_gib > 0.1


def test_exchanged_statistics_fail(tmp_path: Path) -> None:
    result = examined(written(tmp_path / "exchanged.safetensors", exchanged), steps=2, size=(64, 64))
    assert result.verdict == "fail"
    assert {name for name, verdict in verdicts(result).items() if verdict == "fail"} == {
        "reconstruction",
        "round trip",
    }


def test_random_weights_are_not_judged_by_what_training_gives(small_ltx_video: Path, tmp_path: Path) -> None:
    path = written(tmp_path / "random.safetensors", random_weights, small_ltx_video)
    result = examined(path, trained=False, steps=2, size=(64, 64))
    assert result.verdict == "pass"
    assert not result.trained
    assert verdicts(result) == {
        "layout": "pass",
        "reconstruction": "not judged",
        "reference": "pass",
        "repetition": "pass",
        "round trip": "not judged",
        "film": "not judged",
    }


def test_ltx_2_is_examined_but_for_its_steps(small_ltx2: Path, tmp_path: Path) -> None:
    wordless = written(tmp_path / "wordless.safetensors", without_words, small_ltx2)
    result = examined(wordless, trained=False, steps=2, size=(64, 64))
    assert (result.verdict, result.family) == ("pass", "ltx-2")
    assert verdicts(result) == {
        "layout": "pass",
        "reconstruction": "not judged",
        "reference": "not judged",
        "repetition": "pass",
        "round trip": "not judged",
        "film": "not judged",
    }
    assert len({part.name: part for part in result.parts}["film"].numbers["seams"]) == 5


def test_the_command_writes_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "report.json"
    assert run(["selftest", "--minutes", "0", "--device", "cpu", "--report", str(report)]) == 3
    result = json.loads(report.read_text())
    assert result["verdict"] == "incomplete"
    assert result["parts"][0]["name"] == "layout"
    assert len(result["sha256"]) == 64
    assert result["packages"]["torch"]
    assert "incomplete" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--checkpoint", "nowhere.safetensors"], "nowhere.safetensors"),
        (["--size", "100x100"], "multiples of 32"),
        (["--checkpoint", "random.safetensors"], "--text-encoder"),
        (["--report", "no/where.json"], "--report"),
    ],
)
def test_what_is_refused(
    words: list[str],
    said: str,
    small_ltx_video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "random.safetensors", random_weights, small_ltx_video)
    assert run(["selftest", "--device", "cpu", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_jump_at_a_seam_is_measured_there() -> None:
    """Frames brighten by 1; at the second of two seams by 10."""
    values = np.arange(100) + np.where(np.arange(100) >= 70, 9, 0)
    frames = np.broadcast_to(values[:, None, None, None], (100, 4, 4, 3)).astype(np.uint8)
    assert seam_ratios(frames, [(30, 4), (70, 4)]) == (1.0, 10.0)
