"""Encode steps on the fake engine: pictures, videos, sound and latent files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.payload import Payload, pack
from actors.steps.encode import guide_pixels, source_latents
from jobs.errors import InvalidInput
from jobs.params import EncodeImage, EncodeSource

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
    from jobs.facts import SourceFacts

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
