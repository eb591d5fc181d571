"""Temporal rounds of LTX-2.5 beside diffusers' own, at equal noise, on modules that the farm fills."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fidelity import difference

from tests.reference.sides.diffusers_ltx2 import Model, drawn, narrow_model

pytestmark = pytest.mark.reference
SAME = 1e-4
SIGMAS = (0.975, 0.909375, 0.725, 0.421875)
"""Of a round, without the last, which is 0."""
SEED = 1
SEAMS = [24, 48, 72, 96]
"""Frames of the keyframes that the round before carries into this one."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return narrow_model(tmp_path_factory.mktemp("ltx2") / "narrow.safetensors")


@pytest.fixture(scope="module")
def temporal(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The upsampler in time, as the farm loads it."""
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import temporal_upsampler_component
    from tests.official.upsamplers import write_temporal

    path = write_temporal(tmp_path_factory.mktemp("time") / "temporal.safetensors")
    return temporal_upsampler_component(Checkpoint.open(path)).load(torch.float32)


def test_the_upsampler_in_time(tmp_path: Path) -> None:
    import torch
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel
    from safetensors.torch import load_file

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import temporal_upsampler_component
    from tests.official.upsamplers import write_temporal

    path = write_temporal(tmp_path / "temporal.safetensors")
    theirs = LTX2LatentUpsamplerModel(
        mid_channels=32, num_blocks_per_stage=1, spatial_upsample=False, temporal_upsample=True
    )
    theirs.load_state_dict(load_file(path))
    ours = temporal_upsampler_component(Checkpoint.open(path)).load(torch.float32)
    latents = drawn(1, 128, 4, 3, 5, seed=1)
    with torch.inference_mode():
        made, wanted = ours(latents), theirs(latents)
    assert made.shape == (1, 128, 7, 3, 5)
    assert difference(made, wanted) <= 1e-6


def test_tiles_of_a_round(model: Model, temporal: Any) -> None:
    """The second round of a clip of 49 frames: four tiles, each with its anchors and slots."""
    import torch
    from diffusers import LTX2DFRTemporalRefinePipeline, LTXEulerAncestralRFScheduler
    from diffusers.pipelines.ltx2.dfr_layout import temporal_tile_plan

    from actors.engines.diffusers.codec import VideoCodec, upsample
    from actors.engines.pieces import Piece

    clip, carried = drawn(1, 128, 13, 2, 2, seed=2), drawn(1, 128, 4, 2, 2, seed=3)
    heard = drawn(1, 8, 51, 16, seed=4)
    scheduler = LTXEulerAncestralRFScheduler(eta=0.5)
    with torch.inference_mode():
        wanted = model.run(
            LTX2DFRTemporalRefinePipeline, SIGMAS,
            parts={"scheduler": scheduler, "temporal_latent_upsampler": temporal},
            latents=model.raw(clip), keyframes_latents=model.raw(carried), keyframe_positions=SEAMS,
            audio_latents=model.raw_sound(heard), height=64, width=64, num_frames=97, frame_rate=48.0,
            source_seconds=49 / 24, round_index=2,
        )  # fmt: skip
        canvas = upsample(VideoCodec(model.parts["vae"]), temporal, clip)
        starts, made = torch.Generator().manual_seed(SEED), []
        for index, tile in enumerate(temporal_tile_plan([2 * seam for seam in SEAMS], 193, 4)):
            part = canvas[:, :, tile.interval.start : tile.interval.end]
            pieces = [Piece(part, hold=0.0), *anchors(tile, carried), *slots(tile, part)]
            cut = window_of(heard, tile.pixel_start, 8 * (part.shape[2] - 1) + 1)
            made.append((tile, refined(model, pieces, cut, starts, index)))
    latents = torch.cat([one[0][:, :, tile.interval.left_ramp :] for tile, one in made], dim=2)
    assert difference(latents, model.normalised(wanted.frames)) <= SAME
    found: dict[int, Any] = {}
    for tile, one in made:
        for frame, latent in zip(tile.slots, one[-len(tile.slots) :], strict=True):
            found.setdefault(frame, latent)
    keyframes = model.normalised(wanted.keyframes)
    assert wanted.keyframe_positions == sorted([*found, *(2 * seam for seam in SEAMS)])
    for frame, latent in found.items():
        index = wanted.keyframe_positions.index(frame)
        assert difference(latent, keyframes[:, :, index : index + 1]) <= SAME


def anchors(tile: Any, carried: Any) -> list[Any]:
    """Keyframes that are carried into a tile."""
    from actors.engines.pieces import Piece

    at = [(SEAMS.index(anchor // 2), anchor - tile.pixel_start) for anchor in tile.anchors]
    return [Piece(carried[:, :, k : k + 1], frame, 0.95, reference=True) for k, frame in at]


def slots(tile: Any, part: Any) -> list[Any]:
    """Keyframes that a tile makes, over its latents there."""
    from actors.engines.pieces import Piece

    at = [slot - tile.pixel_start for slot in tile.slots]
    return [Piece(part[:, :, slot // 8 : slot // 8 + 1], slot, 0.0, marked=True) for slot in at]


def window_of(heard: Any, start: int, frames: int) -> Any:
    import torch
    from diffusers.pipelines.ltx2.pipeline_ltx2_dfr_temporal_refine import _audio_window_for_tile

    packed = heard.transpose(1, 2).flatten(2)
    cut = _audio_window_for_tile(packed, start, frames, 96.0, 49 / 24, 60.0, 25.0)
    assert isinstance(cut, torch.Tensor)
    return cut.unflatten(2, (8, 16)).transpose(1, 2)


def refined(model: Model, pieces: list[Any], heard: Any, starts: Any, index: int) -> list[Any]:
    """One tile as the farm denoises it, with the noise of the pipeline."""
    from functools import partial

    import torch

    from actors.engines.diffusers.ltx2 import denoise as module
    from actors.engines.diffusers.ltx2.pieces import Sound
    from actors.engines.diffusers.samplers import euler_ancestral
    from actors.engines.noise import ClipNoise

    tokens = sum(piece.latents[0, 0].numel() for piece in pieces)
    steps = torch.Generator().manual_seed(SEED + 2000 + index)
    silent = torch.zeros(1, heard.shape[2], 128)

    def noise(generator: Any) -> Any:
        return lambda: torch.cat([torch.randn(1, tokens, 128, generator=generator), silent], dim=1)

    run = module.Pass(
        torch.tensor((*SIGMAS, 0.0)), 60.0, ClipNoise(0), partial(euler_ancestral, eta=0.5),
        refined=pieces[0].latents,
    )  # fmt: skip
    sound = Sound(heard, torch.ones(heard.shape[2]))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "noise_of_tokens", lambda *_: (noise(starts), noise(steps)))
        made, _ = module.denoise(model.transformer, run, pieces, sound, model.words())
    return made
