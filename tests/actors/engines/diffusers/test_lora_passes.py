"""A LoRA that counts in one pass alone: the same bytes whichever passes a worker does, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from jobs.frames import ChunkSpan
from jobs.planning.params import EncodeText, PassParams, PlannedGuider, Sampling, Upsampling
from jobs.spec.engine import EngineConfig, Lora, PassStrengths
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from actors.engines.base import Engine

SAMPLING = Sampling(2, 1.0, "euler", (1.0, 0.7, 0.0), PlannedGuider(), 2.05, 0.95)
FIRST = PassParams(64, 64, ChunkSpan(0, 2, 2), 25.0, 7, SAMPLING, (), 1.0, "auto", 0)
SECOND = replace(FIRST, width=128, height=128, upsampling=Upsampling())
STAGES = {"sample": Stage.SAMPLE, "upscale": Stage.UPSCALE}


class Passes:
    """Engines of one model, with LoRAs or without, and what their passes make."""

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = str(checkpoint)
        plain = self.engine(*STAGES)
        self.words = plain.encode_text(EncodeText("a red ball", ""))
        self.plain = {which: self.made(plain, which) for which in STAGES}

    def engine(self, *passes: str, loras: tuple[Lora, ...] = ()) -> Engine:
        engine = make_engine(EngineConfig(checkpoint=self.checkpoint, loras=loras), "cpu", 1)
        engine.setup(frozenset({Stage.ENCODE, *(STAGES[which] for which in passes)}))
        return engine

    def made(self, engine: Engine, which: str) -> np.ndarray[Any, Any]:
        run, start = (FIRST, Piece(None)) if which == "sample" else (SECOND, Piece(None, hold=0.0))
        made: Any = engine.denoise(run, [start], PassSound(), self.words)
        return np.asarray(made["latents"])


@pytest.fixture(scope="module", params=["small_ltx_video", "small_ltx2"])
def passes(request: pytest.FixtureRequest) -> Passes:
    return Passes(request.getfixturevalue(request.param))


@pytest.fixture
def style(passes: Passes, tmp_path: Path) -> Path:
    """A LoRA of one layer of the model."""
    from jobs.weights.header import read_weights

    found = read_weights(Path(passes.checkpoint)).tensors
    key = next(name for name in found if name.endswith("transformer_blocks.0.attn1.to_v.weight"))
    out, into = found[key].shape
    stem = "diffusion_model." + key[key.index("transformer_blocks") :].removesuffix(".weight")
    drawn = torch.Generator().manual_seed(3)
    tensors = {
        f"{stem}.lora_A.weight": torch.randn(2, into, generator=drawn),
        f"{stem}.lora_B.weight": torch.randn(out, 2, generator=drawn),
    }
    save_file(tensors, tmp_path / "style.safetensors")
    return tmp_path / "style.safetensors"


def test_it_counts_in_the_pass_that_is_named(passes: Passes, style: Path) -> None:
    """Mono and split workers, either pass first, and a pass again after the other: equal bytes."""
    loras = (Lora(path=str(style), strength=PassStrengths(upscale=0.8)),)
    split = {which: passes.made(passes.engine(which, loras=loras), which) for which in STAGES}
    assert np.array_equal(split["sample"], passes.plain["sample"])
    assert np.abs(split["upscale"] - passes.plain["upscale"]).max() > 1e-4
    for order in (("sample", "upscale", "sample"), ("upscale", "sample", "upscale")):
        both = passes.engine(*STAGES, loras=loras)
        for which in order:
            assert np.array_equal(passes.made(both, which), split[which]), (order, which)


def test_one_weight_is_that_of_every_pass(passes: Passes, style: Path) -> None:
    number = passes.engine(*STAGES, loras=(Lora(path=str(style), strength=0.8),))
    named = passes.engine(
        *STAGES, loras=(Lora(path=str(style), strength=PassStrengths(sample=0.8, upscale=0.8)),)
    )
    assert number.fingerprint() == named.fingerprint()
    assert np.array_equal(passes.made(number, "sample"), passes.made(named, "sample"))


def test_another_weight_in_one_pass_voids_nothing_of_the_other(passes: Passes, style: Path) -> None:
    one, other = (
        passes.engine(loras=(Lora(path=str(style), strength=PassStrengths(upscale=weight)),)).fingerprint()
        for weight in (0.8, 0.4)
    )
    assert one["sample"] == other["sample"]
    assert one["upscale"] != other["upscale"]
