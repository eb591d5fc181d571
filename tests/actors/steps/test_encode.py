"""Encode steps on the fake engine: pictures, videos, sound and latent files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.engines.fake import FakeEngine
from actors.media.audio import Listen, read_audio
from actors.media.process import Call, compile_command, exchange
from actors.payload import Payload, pack
from actors.steps.encode import encode, guide_pixels, source_latents, source_sound
from jobs.errors import InvalidInput
from jobs.planning.params import EncodeClip, EncodeImage, EncodeSource
from jobs.spec.engine import FakeConfig

MakeBench = Callable[..., Any]


def _source(path: Path, frames: int) -> EncodeSource:
    return EncodeSource("latent", str(path), 64, 32, frames, 25.0, 0)


def test_a_guide_image_has_the_size_and_the_artefacts(tmp_path: Path) -> None:
    from PIL import Image

    noise = np.random.default_rng(0).integers(0, 255, (100, 100, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "still.png")
    untouched = guide_pixels(EncodeImage(str(tmp_path / "still.png"), 64, 32, crf=0))
    squeezed = guide_pixels(EncodeImage(str(tmp_path / "still.png"), 64, 32, crf=35))
    assert untouched.shape == squeezed.shape == (32, 64, 3)
    assert not np.array_equal(untouched, squeezed)


@pytest.mark.parametrize("name", ["latents", "latent_tensor", "samples"])
def test_the_last_latents_of_a_file_are_taken(tmp_path: Path, name: str) -> None:
    latents = np.random.default_rng(0).normal(size=(1, 4, 5, 1, 2)).astype(np.float16)
    path = tmp_path / "clip.safetensors"
    path.write_bytes(pack(Payload({name: latents})))
    taken = source_latents(_source(path, 17))["latents"]
    assert taken.dtype == np.float32
    np.testing.assert_array_equal(taken, latents[:, :, 2:].astype(np.float32))


def test_bfloat16_latents_are_widened(tmp_path: Path) -> None:
    import torch

    from actors.payload import from_torch

    latents = torch.randn(1, 4, 2, 1, 2).to(torch.bfloat16)
    path = tmp_path / "clip.safetensors"
    path.write_bytes(pack(from_torch({"latents": latents})))
    np.testing.assert_array_equal(source_latents(_source(path, 9))["latents"], latents.float().numpy())


@pytest.mark.parametrize("shape", [(1, 4, 2, 1, 2), (2, 4, 5, 1, 2), (4, 5)])
def test_latents_of_another_shape_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = tmp_path / "clip.safetensors"
    path.write_bytes(pack(Payload({"latents": np.zeros(shape, np.float32)})))
    with pytest.raises(InvalidInput, match="shape"):
        source_latents(_source(path, 17))


def test_a_film_that_starts_from_a_video_with_guides(make_bench: MakeBench, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.full((32, 64, 3), 90, np.uint8)).save(tmp_path / "still.png")
    _write_video(tmp_path / "shot.mp4", frames=20)
    from actors.media.probe import probe_video
    from jobs.planning.facts import SourceFacts

    path = str(tmp_path / "shot.mp4")
    extend = {"prompt": "on", "num_new_frames": 8, "last_image": str(tmp_path / "still.png")}
    spec = {
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 32, "steps": 2},
        "videos": [{"name": "film", "source": {"video": path}, "chunks": [{"extend": extend}]}],
    }
    bench = make_bench(spec, SourceFacts(videos={path: probe_video(path)}))
    bench.run_all()
    sampled = bench.payload("film/00001/sample")["latents"]
    assert sampled.shape == (1, 4, 3, 1, 2)


def _write_video(path: Path, frames: int) -> None:
    import ffmpeg

    from actors.media.ffmpeg import find_ffmpeg

    ramp = np.linspace(20, 200, frames, dtype=np.uint8).reshape(-1, 1, 1, 1)
    pixels = np.broadcast_to(ramp, (frames, 32, 64, 3))
    video = ffmpeg.input("pipe:", format="rawvideo", pixel_format="rgb24", video_size=(64, 32), framerate=25)
    output = ffmpeg.output(video, str(path), pix_fmt="yuv420p").global_args("-loglevel", "error")
    output.run(cmd=find_ffmpeg().path, input=np.ascontiguousarray(pixels).tobytes())


def _clip(path: Path, sound: bool) -> str:
    """49 frames at 24 per second, with or without a rising tone."""
    import ffmpeg

    inputs = [ffmpeg.input("testsrc=size=64x32:rate=24:duration=2.0416", f="lavfi")]
    if sound:
        inputs.append(ffmpeg.input("aevalsrc=sin(600*t*t):sample_rate=44100:duration=2.1", f="lavfi"))
    exchange(compile_command(ffmpeg.output(*inputs, str(path)).overwrite_output()), Call("make a clip"))
    return str(path)


def test_a_source_brings_its_sound_where_sound_is_generated(tmp_path: Path) -> None:
    path = _clip(tmp_path / "heard.mp4", sound=True)
    params = EncodeSource("video", path, 64, 32, 17, 24.0, 32, sample_rate=48000)
    engine = FakeEngine(FakeConfig())
    made = encode(params, engine)
    sound = source_sound(params, 48000)
    samples = read_audio(path, Listen(32 * 2000, 49 * 2000, 48000))
    assert samples.any()
    wanted = engine.encode_audio(sound, samples)["audio_latents"]
    np.testing.assert_array_equal(made["audio_latents"], wanted)
    without = encode(replace(params, sample_rate=None), engine)
    assert set(without.arrays) == {"latents"}
    np.testing.assert_array_equal(without["latents"], made["latents"])


def test_a_source_without_sound_is_silent(tmp_path: Path) -> None:
    engine = FakeEngine(FakeConfig())
    latents = tmp_path / "clip.safetensors"
    latents.write_bytes(pack(Payload({"latents": np.zeros((1, 128, 3, 1, 2), np.float32)})))
    for params in (
        EncodeSource("video", _clip(tmp_path / "mute.mp4", sound=False), 64, 32, 17, 24.0, 32, 48000),
        EncodeSource("latent", str(latents), 64, 32, 17, 24.0, 0, 48000),
    ):
        silence = np.zeros((2, 17 * 2000), np.float32)
        wanted = engine.encode_audio(source_sound(params, 48000), silence)["audio_latents"]
        np.testing.assert_array_equal(encode(params, engine)["audio_latents"], wanted)


def test_of_a_held_clip_the_last_latents_are_kept(tmp_path: Path) -> None:
    """Its first frame is encoded along, and is in no latent that is held."""
    path, engine = str(tmp_path / "clip.mp4"), FakeEngine(FakeConfig())
    _write_video(tmp_path / "clip.mp4", 25)
    source = EncodeSource("video", path, 64, 32, 17, 25.0, 0)
    whole = encode(source, engine)["latents"]
    before = encode(EncodeClip(path, 64, 32, 17, 25.0, 0, 2), engine)["latents"]
    behind = encode(EncodeClip(path, 64, 32, 9, 25.0, 16, 2), engine)["latents"]
    np.testing.assert_array_equal(before, whole[:, :, 1:])
    np.testing.assert_array_equal(
        behind, encode(replace(source, frames=9, skip_frames=16), engine)["latents"]
    )
