"""The whole engine on a random-weight checkpoint: every switch does something, and only what it should."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from actors.payload import Payload
from jobs.errors import InvalidInput, SpecError
from jobs.frames import ChunkSpan, DecodeWindow, Span
from jobs.planning.params import DecodeParams, EncodeImage, EncodeText, PassParams, Tiles, Upsampling
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig, Lora
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from actors.engines.base import Engine, FreeLevel

MakeBench = Callable[..., Any]

MODELS = ["bundled", *(pytest.param(f"small_{n}", marks=pytest.mark.long) for n in ("ltx2", "ltx_video"))]
SAMPLING = Sampling(3, 3.0, "euler_ancestral", None, PlannedGuider(), 2.05, 0.95)
GENERATE = PassParams(64, 64, ChunkSpan(0, 3, 3), 25.0, 7, SAMPLING, (), 1.0, "auto", 0)
EXTEND = replace(GENERATE, span=ChunkSpan(2, 2, 5))
UPSCALE = replace(
    GENERATE, width=128, height=128, sampling=replace(SAMPLING, denoise=0.5), upsampling=Upsampling()
)
DECODE = DecodeParams(64, 64, (Span(0, 3),), DecodeWindow(Span(0, 3), Span(0, 3), Span(0, 17)), 1, 25.0)


def _engine(checkpoint: Path, **config: Any) -> Engine:
    engine = make_engine(EngineConfig(checkpoint=str(checkpoint), **config), "cpu", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    return engine


@pytest.fixture(scope="module")
def engine(small_ltx_video: Path) -> Engine:
    return _engine(small_ltx_video)


@pytest.fixture(scope="module")
def conditioning(engine: Engine) -> Payload:
    return engine.encode_text(EncodeText("a red ball", ""))


@pytest.fixture(scope="module")
def still(engine: Engine) -> Payload:
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    return engine.encode_image(EncodeImage("still.png", 64, 64, 0), pixels)


def _here(made: object) -> Payload:
    """What a CPU made is here at once."""
    assert isinstance(made, Payload)
    return made


def _decoded(engine: Engine, params: DecodeParams, latents: Payload) -> np.ndarray:
    frames = engine.decode(params, latents)
    assert isinstance(frames, np.ndarray)
    return frames


def _sampled(engine: Engine, run: PassParams, conditioning: Payload, *pieces: Piece) -> np.ndarray:
    return _here(engine.denoise(run, [Piece(None), *pieces], PassSound(), conditioning))["latents"]


def _second(engine: Engine, latents: Payload, conditioning: Payload, *pieces: Piece) -> np.ndarray:
    start = Piece(engine.upsample(latents, Upsampling()), hold=0.0)
    return _here(engine.denoise(UPSCALE, [start, *pieces], PassSound(), conditioning))["latents"]


def test_the_same_seed_gives_the_same_bits(engine: Engine, conditioning: Payload) -> None:
    first = _sampled(engine, GENERATE, conditioning)
    assert first.shape == (1, 128, 3, 2, 2)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(_sampled(engine, GENERATE, conditioning), first)
    assert not np.array_equal(_sampled(engine, replace(GENERATE, seed=8), conditioning), first)


@pytest.mark.parametrize(
    "change",
    [
        {"sampling": replace(SAMPLING, cfg=1.0)},
        {"sampling": replace(SAMPLING, sampler="euler")},
        {"sampling": replace(SAMPLING, sampler="heun")},
        {"sampling": replace(SAMPLING, sigmas=(1.0, 0.4, 0.0))},
        {"sampling": replace(SAMPLING, guider=PlannedGuider("stg", (("blocks", (1,)),)))},
        {"sampling": replace(SAMPLING, max_shift=1.0)},
        {"frame_rate": 12.0},
    ],
)
def test_every_override_reaches_the_result(
    engine: Engine, conditioning: Payload, change: dict[str, Any]
) -> None:
    plain = _sampled(engine, GENERATE, conditioning)
    assert not np.array_equal(_sampled(engine, replace(GENERATE, **change), conditioning), plain)


def test_switches_leave_no_trace_on_the_next_chunk(
    engine: Engine, conditioning: Payload, still: Payload
) -> None:
    plain = _sampled(engine, GENERATE, conditioning)
    stg = replace(SAMPLING, guider=PlannedGuider("stg", ()))
    weak = Piece(still, 0, 0.45, 0.5)
    _sampled(engine, replace(GENERATE, sampling=stg, ffn_chunks=4), conditioning, weak)
    np.testing.assert_array_equal(_sampled(engine, GENERATE, conditioning), plain)


def test_ffn_chunks_change_nothing_but_rounding(engine: Engine, conditioning: Payload) -> None:
    plain = _sampled(engine, GENERATE, conditioning)
    chunked = _sampled(engine, replace(GENERATE, ffn_chunks=8), conditioning)
    np.testing.assert_allclose(chunked, plain, atol=1e-5)


def test_guides_pull(engine: Engine, conditioning: Payload, still: Payload) -> None:
    plain = _sampled(engine, GENERATE, conditioning)
    guided = _sampled(engine, GENERATE, conditioning, Piece(still, 0, 0.95))
    assert guided.shape == plain.shape
    weak = _sampled(engine, GENERATE, conditioning, Piece(still, 0, 0.475, 0.5))
    last = _sampled(engine, GENERATE, conditioning, Piece(still, 16, 0.95))
    assert not np.array_equal(guided, weak)
    assert not np.array_equal(guided, last)


def test_an_extend_depends_on_its_tail(engine: Engine, conditioning: Payload) -> None:
    chain = _sampled(engine, GENERATE, conditioning)
    tails = [Payload({"latents": np.ascontiguousarray(chain[:, :, start : start + 2])}) for start in (0, 1)]
    clips = [_sampled(engine, EXTEND, conditioning, Piece(tail)) for tail in tails]
    assert clips[0].shape[2] == 4
    assert not np.array_equal(clips[0], clips[1])


def test_a_second_pass_doubles(engine: Engine, conditioning: Payload) -> None:
    latents = Payload({"latents": _sampled(engine, GENERATE, conditioning)})
    double = _second(engine, latents, conditioning)
    assert double.shape == (1, 128, 3, 4, 4)
    assert not np.array_equal(double, _here(engine.upsample(latents, Upsampling()))["latents"])
    tail = Payload({"latents": np.ascontiguousarray(double[:, :, -2:-1])})
    assert not np.array_equal(_second(engine, latents, conditioning, Piece(tail)), double)


def test_a_second_pass_has_the_images(engine: Engine, conditioning: Payload) -> None:
    """At its own size."""
    latents = Payload({"latents": _sampled(engine, GENERATE, conditioning)})
    pixels = np.random.default_rng(1).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    image = engine.encode_image(EncodeImage("still.png", 128, 128, 0), pixels)
    firm, weak = (_second(engine, latents, conditioning, Piece(image, 0, hold)) for hold in (1.0, 0.5))
    free = _second(engine, latents, conditioning)
    assert firm.shape == free.shape == (1, 128, 3, 4, 4)
    assert not np.array_equal(firm, free)
    assert not np.array_equal(firm, weak)


def test_decode_is_uint8_and_tiles(engine: Engine, conditioning: Payload) -> None:
    latents = Payload({"latents": _sampled(engine, GENERATE, conditioning)})
    frames = _decoded(engine, DECODE, latents)
    assert frames.shape == (17, 64, 64, 3)
    assert frames.dtype == np.uint8
    assert _decoded(engine, replace(DECODE, tiling=Tiles(3, 2)), latents).shape == frames.shape


def test_freeing_memory_changes_no_byte(engine: Engine, conditioning: Payload) -> None:
    plain = _sampled(engine, GENERATE, conditioning)
    levels: tuple[FreeLevel, ...] = ("prompts", "cache", "resident", "stream")
    for level in levels:
        engine.free(level)
        again = engine.encode_text(EncodeText("a red ball", ""))
        assert all(np.array_equal(again[name], array) for name, array in conditioning.arrays.items())
        np.testing.assert_array_equal(_sampled(engine, GENERATE, conditioning), plain)


def test_a_lora_shows(small_ltx_video: Path, tmp_path: Path, engine: Engine, conditioning: Payload) -> None:
    key = "diffusion_model.transformer_blocks.0.attn1.to_v"
    tensors = {f"{key}.lora_A.weight": torch.randn(2, 48), f"{key}.lora_B.weight": torch.randn(48, 2)}
    save_file(tensors, tmp_path / "style.safetensors")
    config = Lora(path=str(tmp_path / "style.safetensors"), strength=0.8)
    styled = _engine(small_ltx_video, loras=(config,))
    plain = _sampled(engine, GENERATE, conditioning)
    assert np.abs(_sampled(styled, GENERATE, conditioning) - plain).max() > 1e-4
    assert styled.fingerprint()["sample"] != engine.fingerprint()["sample"]
    assert styled.fingerprint()["decode"] == engine.fingerprint()["decode"]


def test_unknown_words_are_named_with_the_place_of_the_known_ones(engine: Engine) -> None:
    with pytest.raises(InvalidInput, match=r"'dragon'.*MODEL_CARD"):
        engine.encode_text(EncodeText("a red dragon", ""))


@pytest.mark.parametrize(
    "change", [{"sampling": replace(SAMPLING, sampler="ipndm")}, {"audio_mode": "generate"}]
)
def test_what_the_engine_lacks_is_invalid(
    engine: Engine, conditioning: Payload, change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        _sampled(engine, replace(GENERATE, **change), conditioning)


def test_missing_models_are_all_named() -> None:
    config = EngineConfig(checkpoint="./nowhere", upscale_model="./nothing.safetensors")
    with pytest.raises(SpecError) as caught:
        make_engine(config, "cpu", 1).fingerprint()
    assert [problem.place for problem in caught.value.problems] == [
        "engine.checkpoint",
        "engine.upscale_model",
    ]


def test_a_diffusers_folder_gives_the_same_film(
    small_ltx_video: Path, tmp_path: Path, engine: Engine, conditioning: Payload
) -> None:
    """One code path for single files and folders; text comes from elsewhere here, since T5 is large."""
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_vae

    opened = Checkpoint.open(small_ltx_video)
    load_transformer(opened).save_pretrained(tmp_path / "transformer")
    load_vae(opened).save_pretrained(tmp_path / "vae")
    folder = make_engine(EngineConfig(checkpoint=str(tmp_path)), "cpu", 1)
    folder.setup(frozenset({Stage.SAMPLE, Stage.DECODE}))
    # Weights that stay mapped to a file are aligned differently, which may change how a kernel sums.
    latents = _sampled(folder, GENERATE, conditioning)
    np.testing.assert_allclose(latents, _sampled(engine, GENERATE, conditioning), atol=1e-5)
    payload = Payload({"latents": latents})
    difference = _decoded(folder, DECODE, payload).astype(int) - _decoded(engine, DECODE, payload)
    assert np.abs(difference).max() <= 1


def test_a_fingerprint_needs_no_torch() -> None:
    code = (
        "import sys; from actors.engines.make import make_engine; from jobs.spec.engine import EngineConfig;"
        f"make_engine(EngineConfig(checkpoint={__file__!r}), 'cpu', 1).fingerprint();"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_film_through_the_worker(make_bench: MakeBench, small_ltx_video: Path) -> None:
    chunks = [
        {"generate": {"prompt": "a red ball", "num_frames": 17}},
        {"extend": {"prompt": "blue ball bounces", "num_new_frames": 8, "overlap_frames": 16}},
    ]
    spec = {
        "engine": {"checkpoint": str(small_ltx_video)},
        "defaults": {"width": 64, "height": 64, "steps": 2},
        "upscale": {"steps": 2},
        "videos": [{"name": "film", "chunks": chunks}],
    }
    first, second = make_bench(spec), make_bench(spec, cache_bytes=0)
    first.run_all()
    second.run_all()
    assert {task: commit.sha256 for task, commit in first.commits.items()} == {
        task: commit.sha256 for task, commit in second.commits.items()
    }


@pytest.mark.parametrize("model", MODELS)
def test_it_needs_no_transformers_and_no_torchvision(model: str, request: pytest.FixtureRequest) -> None:
    """What a fresh installation lacks; torch and diffusers must be enough."""
    checkpoint = None if model == "bundled" else str(request.getfixturevalue(model))
    code = f"""
import importlib.abc, importlib.util, sys
HIDDEN = {{"transformers", "torchvision", "torchaudio", "accelerate", "peft", "sentencepiece"}}
class Hide(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in HIDDEN:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hide())
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *a: None if name.split(".")[0] in HIDDEN else found(name, *a)
from actors.engines.make import make_engine
from jobs.planning.params import EncodeText
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
engine = make_engine(EngineConfig(checkpoint={checkpoint!r}), "cpu", 1)
engine.setup(frozenset(Stage) - {{Stage.SEGMENT}})
engine.encode_text(EncodeText("a red ball", ""))
print(sorted(HIDDEN & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "[]"), run.stderr
