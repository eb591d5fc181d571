"""Pixels and latents through a real VAE with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.codec import VideoCodec
from actors.engines.diffusers.ltx_video.architecture import build_vae
from actors.engines.diffusers.ltx_video.checkpoint import load_vae
from jobs.frames import Span
from jobs.planning.params import Tiles


@pytest.fixture(scope="module")
def codec(small_ltx_video: Path) -> VideoCodec:
    return VideoCodec(load_vae(Checkpoint.open(small_ltx_video), torch.float32))


@torch.inference_mode()
def test_shapes(codec: VideoCodec) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (17, 32, 64, 3), dtype=np.uint8)
    latents = codec.encode(frames)
    assert latents.shape == (1, 128, 3, 1, 2)
    decoded = codec.decode(latents)
    assert isinstance(decoded, np.ndarray)
    assert decoded.shape == frames.shape
    assert decoded.dtype == np.uint8


@torch.inference_mode()
def test_normalisation_is_inverse(codec: VideoCodec) -> None:
    latents = torch.randn(1, 128, 2, 1, 1)
    torch.testing.assert_close(codec.unnormalize(codec.normalize(latents)), latents)


@torch.inference_mode()
def test_a_tile_as_long_as_the_clip_is_the_plain_decode(codec: VideoCodec) -> None:
    latents = torch.randn(1, 128, 3, 1, 1)
    np.testing.assert_array_equal(codec.decode_tiled(latents, Tiles(9, 2)), codec.decode(latents))


@torch.inference_mode()
def test_tiles_give_every_frame_once_and_nearly_the_same(codec: VideoCodec) -> None:
    latents = torch.randn(1, 128, 9, 1, 1)
    whole, tiled = codec.decode(latents), codec.decode_tiled(latents, Tiles(7, 6))
    assert isinstance(whole, np.ndarray)
    assert isinstance(tiled, np.ndarray)
    assert tiled.shape == whole.shape
    assert np.abs(tiled.astype(int) - whole).mean() < 0.1 * whole.std()


def test_tiles_cover_the_clip_and_share_their_overlap() -> None:
    spans = Tiles(6, 2).spans(10)
    assert [kept for _, kept in spans] == [Span(0, 4), Span(4, 8), Span(8, 10)]
    assert [context for context, _ in spans] == [Span(0, 5), Span(3, 9), Span(7, 10)]


@torch.inference_mode()
def test_timestep_conditioned_vaes_draw_noise_from_the_global_generator(small_ltx_video: Path) -> None:
    """As the VAEs of 0.9.1 and later do; the stage step seeds that generator."""
    config = {**Checkpoint.open(small_ltx_video).configs["vae"], "timestep_conditioning": True}
    torch.manual_seed(0)
    codec = VideoCodec(build_vae(config).eval())
    latents = torch.randn(1, 128, 2, 1, 1)
    torch.manual_seed(1)
    first = codec.decode(latents)
    torch.manual_seed(1)
    again, other = codec.decode(latents), codec.decode(latents)
    np.testing.assert_array_equal(again, first)
    assert not np.array_equal(cast("np.ndarray", other), cast("np.ndarray", first))
