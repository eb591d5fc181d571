"""A film with temporal rounds beside diffusers' pipelines, at equal noise: every step of the farm's, from the
first pass to the second round, on a narrow LTX-2.5 file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fidelity import Measured, difference

from jobs.planning.rounds.layout import ROUND_SIGMAS
from tests.reference.sides import farm_rounds
from tests.reference.sides.diffusers_ltx2 import Model, drawn, narrow_model
from tests.reference.sides.farm_rounds import (
    CHUNK,
    DETAILING,
    FIRST,
    FRAMES,
    RATE,
    SECOND,
    SIDE,
    EqualNoise,
    FarmSide,
)

if TYPE_CHECKING:
    from actors.payload import Payload

pytestmark = pytest.mark.reference
SAME = 1e-4
STRENGTH = 0.8
"""Of the images in the rounds."""


@dataclass
class Film:
    """Diffusers' parts and the farm's engine, of the same files."""

    model: Model
    farm: FarmSide
    detailing: Any
    """The transformer with the IC-LoRA of the second pass."""
    space: Any
    time: Any

    def conditions(self, side: int, strength: float = 1.0) -> list[Any]:
        """The images as diffusers has them: latents 0 and 2 begin with frames 0 and 9."""
        from diffusers.pipelines.ltx2.pipeline_ltx2_condition import LTX2VideoCondition
        from PIL import Image

        image = Image.fromarray(pixels(side))
        return [LTX2VideoCondition(image, index, strength, crf=0) for index in (0, 2)]

    def upsampled(self, latents: Any) -> Any:
        from diffusers import LTX2LatentUpsamplePipeline

        pipeline = LTX2LatentUpsamplePipeline(vae=self.model.parts["vae"], latent_upsampler=self.space)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(latents=latents, latents_normalized=False, output_type="latent", return_dict=False)[0]


def pixels(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Film:
    import torch
    from PIL import Image

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2 import components
    from tests.official.ic_lora import write_ic_lora
    from tests.official.upsamplers import write_rational, write_temporal

    folder = tmp_path_factory.mktemp("ltx2")
    model = narrow_model(folder / "narrow.safetensors")
    space, time = write_rational(folder / "space.safetensors", 4), write_temporal(folder / "time.safetensors")
    checkpoint, lora = folder / "narrow.safetensors", folder / "detailing.safetensors"
    files = {"checkpoint": checkpoint, "upscale_model": space, "temporal_upscale_model": time}
    write_ic_lora(lora, checkpoint, 2)
    Image.fromarray(pixels(SIDE)).save(folder / "image.png")
    spec = farm_rounds.film(files, lora, folder / "image.png")
    with torch.inference_mode():
        images = {side: encoded(model, side) for side in (SIDE, 2 * SIDE)}
        side = FarmSide.of(spec, said(model), images)
    return Film(
        model,
        side,
        with_lora(model.parts["transformer"], lora),
        components.upsampler_component(Checkpoint.open(space)).load(torch.float32),
        components.temporal_upsampler_component(Checkpoint.open(time)).load(torch.float32),
    )


def with_lora(transformer: Any, path: Path) -> Any:
    """Another one, with a LoRA in its weights."""
    import copy

    from safetensors.torch import load_file

    merged, tensors = copy.deepcopy(transformer), load_file(path)
    for name in (key for key in tensors if key.endswith(".lora_A.weight")):
        layer = merged.get_submodule(name.removeprefix("diffusion_model.").removesuffix(".lora_A.weight"))
        layer.weight.add_(DETAILING * tensors[name.replace("lora_A", "lora_B")] @ tensors[name])
    return merged


def encoded(model: Model, side: int) -> Payload:
    from actors.engines.diffusers.codec import VideoCodec
    from actors.payload import from_torch

    return from_torch({"latents": VideoCodec(model.parts["vae"]).encode(pixels(side)[None])})


def said(model: Model) -> Payload:
    """What the prompt says, as an encode task has it."""
    import torch

    from actors.engines.diffusers.guidance import Forward
    from actors.payload import from_torch

    words = model.words()[Forward.POSITIVE]
    mask = torch.ones(1, words.video.shape[1], dtype=torch.bool)
    parts = {"": words.video, "_audio": words.audio, "_mask": mask}
    return from_torch({f"{w}{part}": v for w in ("positive", "negative") for part, v in parts.items()})


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


def test_every_step(film: Film, measured: Measured) -> None:
    import torch

    with torch.inference_mode():
        theirs, ours = their_steps(film), our_steps(film)
    assert len(ours) == len(theirs) == 4
    for name, wanted in theirs.items():
        frames, keyframes = (film.model.normalised(part) for part in (wanted.frames, wanted.keyframes))
        made = ours[name]
        for part, due in (("latents", frames), ("keyframes", keyframes)):
            found = difference(torch.from_numpy(made[part]), due)
            measured.note("ltx2 rounds", name, part, found)
            assert found <= SAME, (name, part, found)
    heard = film.model.normalised_sound(theirs["first pass"].audio)
    for step in ("first pass", "second pass"):
        assert difference(torch.from_numpy(ours[step]["audio_latents"]), heard) <= SAME


def their_steps(film: Film) -> dict[str, Any]:
    """What diffusers makes, each of what it made before."""
    from diffusers import LTX2DFRPipeline, LTX2DFRTemporalRefinePipeline, LTXEulerAncestralRFScheduler

    first = film.model.run(
        LTX2DFRPipeline, FIRST, height=SIDE, width=SIDE, num_frames=FRAMES,
        conditions=film.conditions(SIDE),
    )  # fmt: skip
    made = film.model.run(
        LTX2DFRPipeline, SECOND, parts={"transformer": film.detailing}, height=2 * SIDE, width=2 * SIDE,
        num_frames=FRAMES,
        latents=film.upsampled(first.frames), keyframes_latents=film.upsampled(first.keyframes),
        keyframe_positions=first.keyframe_positions, reference_latents=first.frames,
        audio_latents=first.audio, freeze_audio=True, conditions=film.conditions(2 * SIDE),
    )  # fmt: skip
    steps = {"first pass": first, "second pass": made}
    for number in (1, 2):
        parts = {
            "scheduler": LTXEulerAncestralRFScheduler(eta=0.5), "temporal_latent_upsampler": film.time
        }  # fmt: skip
        made = film.model.run(
            LTX2DFRTemporalRefinePipeline, ROUND_SIGMAS[:-1], parts=parts, latents=made.frames,
            keyframes_latents=made.keyframes, keyframe_positions=made.keyframe_positions,
            audio_latents=first.audio, conditions=film.conditions(2 * SIDE, STRENGTH), height=2 * SIDE,
            width=2 * SIDE, num_frames=(FRAMES - 1) * 2 ** (number - 1) + 1,
            frame_rate=RATE * 2 ** (number - 1), source_seconds=FRAMES / RATE, condition_num_frames=FRAMES,
            round_index=number,
        )  # fmt: skip
        steps[f"round {number}"] = made
    return steps


def our_steps(film: Film) -> dict[str, dict[str, np.ndarray]]:
    """What the farm makes, likewise: of a round the tiles, one after the other, and the keyframes that it
    carries with those that it makes."""
    side = film.farm
    first = side.run(f"{CHUNK}/sample", EqualNoise())
    second = side.run(f"{CHUNK}/upscale", EqualNoise())
    steps = {"first pass": first.arrays, "second pass": second.arrays}
    for number, count in ((1, 2), (2, 4)):
        tiles = side.tiles(number, STRENGTH)
        assert len(tiles) == count
        carried = side.made[f"{CHUNK}.r{number}/upscale"]["keyframes"]
        slots = np.concatenate([tile["keyframes"] for tile in tiles], axis=2)
        keyframes = np.stack([slots, carried], axis=3).reshape(*slots.shape[:2], -1, *slots.shape[3:])
        latents = np.concatenate([tile["latents"] for tile in tiles], axis=2)
        steps[f"round {number}"] = {"latents": latents, "keyframes": keyframes}
    return steps
