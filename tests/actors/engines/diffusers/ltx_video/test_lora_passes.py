"""A LoRA that counts in one pass or one shot alone: the same bytes whichever passes and shots a worker does,
and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from jobs.errors import SpecError
from jobs.frames import ChunkSpan
from jobs.planning.params import EncodeText, PassParams, Upsampling
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig, Lora, LoraUse, PassStrengths
from jobs.tasks.task import Stage
from jobs.weights.header import read_weights

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

    def engine(
        self, *passes: str, loras: tuple[Lora, ...] = (), dtype: Literal["auto", "fp8"] = "auto"
    ) -> Engine:
        engine = make_engine(EngineConfig(checkpoint=self.checkpoint, loras=loras, dtype=dtype), "cpu", 1)
        engine.setup(frozenset({Stage.ENCODE, *(STAGES[which] for which in passes)}))
        return engine

    def made(self, engine: Engine, which: str, *own: LoraUse) -> np.ndarray[Any, Any]:
        """`own` are those of the shot."""
        run = replace(FIRST if which == "sample" else SECOND, loras=own)
        made: Any = engine.denoise(run, [Piece(None, hold=0.0)], PassSound(), self.words)
        return np.asarray(made["latents"])


@pytest.fixture(scope="module", params=["small_ltx_video", "small_ltx2"])
def passes(request: pytest.FixtureRequest) -> Passes:
    return Passes(request.getfixturevalue(request.param))


def written(checkpoint: Path, path: Path, *layers: str) -> Path:
    """A LoRA of these layers of the model."""
    found = read_weights(checkpoint).tensors
    drawn = torch.Generator().manual_seed(len(path.stem))
    tensors: dict[str, torch.Tensor] = {}
    for layer in layers:
        key = next(name for name in found if name.endswith(f"transformer_blocks.0.{layer}.weight"))
        out, into = found[key].shape
        stem = "diffusion_model." + key[key.index("transformer_blocks") :].removesuffix(".weight")
        tensors[f"{stem}.lora_A.weight"] = torch.randn(2, into, generator=drawn)
        tensors[f"{stem}.lora_B.weight"] = torch.randn(out, 2, generator=drawn)
    save_file(tensors, path)
    return path


@pytest.fixture
def style(passes: Passes, tmp_path: Path) -> Path:
    return written(Path(passes.checkpoint), tmp_path / "style.safetensors", "attn1.to_v")


@pytest.fixture
def anna(passes: Passes, tmp_path: Path) -> Path:
    """Of a layer that `style` changes, too, and another."""
    return written(Path(passes.checkpoint), tmp_path / "anna.safetensors", "attn1.to_v", "attn1.to_q")


@pytest.fixture
def ben(passes: Passes, tmp_path: Path) -> Path:
    return written(Path(passes.checkpoint), tmp_path / "ben.safetensors", "attn1.to_k")


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


def test_in_fp8_it_counts_as_well(passes: Passes, style: Path) -> None:
    """Weights are merged from what the file has and rounded then; never from what was rounded before."""
    loras = (Lora(path=str(style), strength=PassStrengths(upscale=0.8)),)
    bare = passes.engine(*STAGES, dtype="fp8")
    plain = {which: passes.made(bare, which) for which in STAGES}
    for which in STAGES:
        difference = np.linalg.norm(plain[which] - passes.plain[which])
        assert 1e-4 < difference / np.linalg.norm(passes.plain[which]) < 0.1
    both = passes.engine(*STAGES, loras=loras, dtype="fp8")
    made = [passes.made(both, which) for which in ("sample", "upscale", "sample", "upscale")]
    assert np.array_equal(made[0], plain["sample"])
    assert np.array_equal(made[2], plain["sample"])
    assert np.array_equal(made[1], made[3])
    assert np.array_equal(made[1], passes.made(passes.engine("upscale", loras=loras, dtype="fp8"), "upscale"))
    assert np.abs(made[1] - plain["upscale"]).max() > 1e-4


def test_another_weight_in_one_pass_voids_nothing_of_the_other(passes: Passes, style: Path) -> None:
    one, other = (
        passes.engine(loras=(Lora(path=str(style), strength=PassStrengths(upscale=weight)),)).fingerprint()
        for weight in (0.8, 0.4)
    )
    assert one["sample"] == other["sample"]
    assert one["upscale"] != other["upscale"]


def test_sets_of_shots_in_any_order(passes: Passes, style: Path, anna: Path, ben: Path) -> None:
    """A worker that does one set alone makes what one does that goes from each to each, in either pass."""
    loras = (Lora(path=str(style), strength=PassStrengths(sample=0.5, upscale=0.3)),)
    sets = ((), (LoraUse(str(anna), 0.8),), (LoraUse(str(anna), 0.4),), (LoraUse(str(ben), 0.8),))
    wanted = [(which, own) for which in STAGES for own in sets]
    alone = [passes.made(passes.engine(*STAGES, loras=loras), which, *own) for which, own in wanted]
    both = passes.engine(*STAGES, loras=loras)
    for at in (0, 3, 1, 2, 7, 1, 6, 4, 5, 0, 5, 2, 3, 0):
        which, own = wanted[at]
        assert np.array_equal(passes.made(both, which, *own), alone[at]), wanted[at]
    distinct = {made.tobytes() for made in alone}
    assert len(distinct) == len(wanted)


def test_a_shot_has_those_that_a_job_would_have(passes: Passes, style: Path, anna: Path) -> None:
    """Behind those of the job; one that the job has, too, counts as the shot says."""
    job = passes.engine("sample", loras=(Lora(path=str(style)), Lora(path=str(anna), strength=0.8)))
    shot = passes.engine("sample", loras=(Lora(path=str(style)),))
    wanted = passes.made(job, "sample")
    assert np.array_equal(passes.made(shot, "sample", LoraUse(str(anna), 0.8)), wanted)
    assert np.array_equal(passes.made(job, "sample", LoraUse(str(anna), 0.8)), wanted)
    assert np.array_equal(passes.made(shot, "sample", LoraUse(str(style), 0.0)), passes.plain["sample"])


def test_one_that_does_not_fit_leaves_the_weights_alone(
    passes: Passes, style: Path, anna: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.safetensors"
    tensors = {f"diffusion_model.no_layer.lora_{ab}.weight": torch.ones(2, 2) for ab in "AB"}
    save_file(tensors, other)
    engine = passes.engine("sample", loras=(Lora(path=str(style)),))
    wanted = passes.made(engine, "sample", LoraUse(str(anna), 0.8))
    with pytest.raises(SpecError, match=r"loras of a shot[\s\S]*other.safetensors[\s\S]*none of its 2 keys"):
        passes.made(engine, "sample", LoraUse(str(other), 0.8))
    assert np.array_equal(passes.made(engine, "sample", LoraUse(str(anna), 0.8)), wanted)
    with pytest.raises(SpecError) as caught:
        passes.made(passes.engine("sample", loras=(Lora(path=str(other)),)), "sample")
    assert caught.value.problems[0].place == "engine.loras"


def test_a_change_reads_only_what_it_changes(passes: Passes, style: Path, ben: Path) -> None:
    """And nothing where the weights have nothing merged into them yet."""
    engine = passes.engine("sample", loras=(Lora(path=str(style)),))
    read: list[str] = []
    loras = engine._runner.residents.get("denoising").loras  # type: ignore[attr-defined]
    stored = loras._stored

    def noted(names: list[str]) -> Iterator[tuple[str, torch.Tensor]]:
        read.extend(names)
        return stored(names)

    loras._stored = noted
    passes.made(engine, "sample", LoraUse(str(ben), 1.0))
    assert read == [], "that of the job stays, and that layer was as in the file"
    passes.made(engine, "sample")
    assert len(read) == 1
    assert "to_k" in read[0]
