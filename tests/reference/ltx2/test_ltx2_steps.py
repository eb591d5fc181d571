"""One pass of LTX-2 beside ltx-core and ltx-pipelines 1.0.0, at equal noise: every step, on narrow files that
ltx-core's own modules made and named."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest
from fidelity import Measured, difference
from ltx2_cases import CASES, HEARD, LATENTS, MADE_S, RATE, Case, drawn

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]
VERSIONS = ("2.0", "2.3")
SAME = 1e-5
"""Of a step. The bar is 1e-4, which the last bit of a coordinate can take."""
STRENGTH = 0.7
"""Of the IC-LoRA."""


Load = Callable[[str, bool], tuple[Any, Any]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """ltx-core's transformer, and the farm's: of a version, with or without an IC-LoRA."""
    pytest.importorskip("ltx_pipelines", reason="needs the environment of `make test-reference-comfyui`")
    import torch
    from ltx_core.model.transformer.model import X0Model
    from ltx_core_files import merge_lora, write_file

    from actors.engines.diffusers.files import find_files
    from actors.engines.diffusers.ltx2.loading import Ltx2Loader
    from jobs.spec.engine import EngineConfig
    from tests.official.ic_lora import write_ic_lora

    folder, made = tmp_path_factory.mktemp("ltx2"), {}

    def load(version: str, lora: bool) -> tuple[Any, Any]:
        if (version, lora) not in made:
            path, loras = folder / f"{version}.safetensors", []
            theirs = write_file(version, path)["transformer"]
            if lora:
                named = write_ic_lora(folder / f"{version}-lora.safetensors", path, 2)
                merge_lora(theirs, named, STRENGTH)
                loras = [{"path": str(named), "strength": {"sample": STRENGTH}}]
            config = EngineConfig.model_validate({"checkpoint": str(path), "loras": loras})
            ours = Ltx2Loader(find_files(config), torch.float32).denoising()
            ours.loras.use("sample")
            made[version, lora] = X0Model(theirs), ours
        return made[version, lora]

    return load


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("version", VERSIONS)
def test_each_step(version: str, name: str, model: Load, measured: Measured) -> None:
    case, words = CASES[name](), contexts(version)
    theirs, ours = model(version, bool(case.references))
    wanted = reference_steps(theirs, case, words)
    got = farm_steps(ours, case, words)
    assert len(got) == len(wanted) == len(case.sigmas) - 1
    found = [difference(one, other) for one, other in zip(got, wanted, strict=True)]
    measured.note("ltx2 steps", name, version, *found)
    assert max(found) <= SAME, [f"{step:.1e}" for step in found]


def contexts(version: str) -> dict[str, tuple[Any, Any]]:
    """What a prompt and a negative one say to the picture and to the sound."""
    width = 64 if version == "2.0" else 128
    return {
        which: (drawn(1, 20, width, seed=seed), drawn(1, 20, 64, seed=seed + 1))
        for which, seed in (("positive", 4), ("negative", 6))
    }


def farm_steps(model: Any, case: Case, words: dict[str, tuple[Any, Any]]) -> list[Any]:
    import torch

    from actors.engines.diffusers.guidance import Forward, Guidance, GuiderStep
    from actors.engines.diffusers.ltx2.denoise import Context, Pass, denoise
    from actors.engines.diffusers.ltx2.pieces import Sound, held_but, with_guides
    from actors.engines.diffusers.samplers import euler
    from actors.engines.noise import ClipNoise
    from actors.engines.pieces import Piece

    clip, heard = starts(case)
    guides = [Piece(latents, frame, strength) for frame, latents, strength in (*case.held, *case.beside)]
    guides += [
        Piece(latents, 0, strength, attention, scale=scale, reference=True)
        for latents, scale, strength, attention in case.references
    ]
    hold = (1.0, float(case.kept == "pictures"), 1.0) if case.retake else 0.0
    pieces = with_guides(clip, guides, hold)
    sound_hold = torch.full((HEARD,), float(case.frozen or case.kept == "sound"))
    if case.retake and case.kept != "sound":
        sound_hold = held_but(HEARD, MADE_S)
    generator = torch.Generator().manual_seed(11)
    sizes = (sum(piece.latents[0, 0].numel() for piece in pieces), HEARD)
    noise = torch.cat([torch.randn(1, size, 128, generator=generator) for size in sizes], dim=1)
    seen: list[Any] = []
    four = Guidance((GuiderStep((3.0, 7.0), 1.0, 3.0, 0.7, frozenset({1})),))
    guidance = four if case.guided else Guidance.plain(1.0, 1.0)
    run = Pass(torch.tensor(case.sigmas), RATE, ClipNoise(0), euler, guidance, seen.append)
    with torch.inference_mode():
        denoise(
            model, run, pieces, Sound(heard, sound_hold),
            {Forward(which): Context(*both) for which, both in words.items()}, noise,
        )  # fmt: skip
    return seen


def starts(case: Case) -> tuple[Any, Any]:
    """What picture and sound start from."""
    import torch

    if case.start:
        return drawn(1, 128, LATENTS, 2, 2, seed=23), drawn(1, 8, HEARD, 16, seed=24)
    heard = drawn(1, 8, HEARD, 16, seed=24) if case.frozen else torch.zeros(1, 8, HEARD, 16)
    return torch.zeros(1, 128, LATENTS, 2, 2), heard


@dataclass
class Watched:
    """A denoising function of ltx-pipelines that keeps what it made of each step."""

    denoise: Callable[..., tuple[Any, Any]]
    seen: list[Any] = field(default_factory=list)

    def __call__(self, video: Any, audio: Any, sigmas: Any, step: int) -> tuple[Any, Any]:
        import torch
        from ltx_pipelines.utils.helpers import post_process_latent

        made = self.denoise(video, audio, sigmas, step)
        kept = [
            post_process_latent(one, state.denoise_mask, state.clean_latent)
            for one, state in zip(made, (video, audio), strict=True)
        ]
        self.seen.append(torch.cat(kept, dim=1))
        return made


def reference_steps(model: Any, case: Case, words: dict[str, tuple[Any, Any]]) -> list[Any]:
    import torch
    from ltx2_retakes import Part, retaken
    from ltx_core.components.diffusion_steps import EulerDiffusionStep
    from ltx_core.components.noisers import GaussianNoiser
    from ltx_core.types import VideoPixelShape
    from ltx_pipelines.utils.helpers import denoise_audio_video, denoise_video_only
    from ltx_pipelines.utils.samplers import euler_denoising_loop
    from ltx_pipelines.utils.types import PipelineComponents

    watched = Watched(guided(model, words) if case.guided else plain(model, words))
    clip, heard = starts(case)
    run = denoise_video_only if case.frozen else denoise_audio_video
    if case.retake:
        run = partial(retaken, Part(MADE_S, RATE, case.kept))
    with torch.inference_mode():
        run(
            output_shape=VideoPixelShape(batch=1, frames=17, height=64, width=64, fps=RATE),
            conditionings=list(conditionings(case)),
            noiser=GaussianNoiser(torch.Generator().manual_seed(11)),
            sigmas=torch.tensor(case.sigmas),
            stepper=EulerDiffusionStep(),
            denoising_loop_fn=lambda sigmas, video, audio, stepper: euler_denoising_loop(
                sigmas, video, audio, stepper, watched
            ),
            components=PipelineComponents(dtype=torch.float32, device=torch.device("cpu")),
            dtype=torch.float32,
            device=torch.device("cpu"),
            noise_scale=case.sigmas[0],
            initial_video_latent=clip if case.start else None,
            initial_audio_latent=heard if case.start or case.frozen else None,
        )
    return watched.seen


def conditionings(case: Case) -> Sequence[Any]:
    """A still is one frame to later releases of ltx-core, to diffusers and to ComfyUI's core, and so it is
    here; 1.0.0 took it for eight (`num_pixel_frames` came after it)."""
    from dataclasses import replace

    from ltx_core.conditioning import VideoConditionByKeyframeIndex, VideoConditionByLatentIndex

    class Still(VideoConditionByKeyframeIndex):
        def apply_to(self, latent_state: Any, latent_tools: Any) -> Any:
            made = super().apply_to(latent_state, latent_tools)
            positions, first = made.positions.clone(), latent_state.latent.shape[1]
            positions[:, 0, first:, 1] = positions[:, 0, first:, 0] + 1 / latent_tools.fps
            return replace(made, positions=positions)

    held = [
        VideoConditionByLatentIndex(latent=latents, strength=strength, latent_idx=start)
        for start, latents, strength in case.held
    ]
    beside = [
        Still(keyframes=latents, frame_idx=frame, strength=strength)
        for frame, latents, strength in case.beside
    ]
    return [*held, *beside, *in_context(case)]


def in_context(case: Case) -> Iterator[Any]:
    """One strength for all leaves them as they are where it is 1; else each has its own."""
    from ltx_core.conditioning import (
        ConditioningItemAttentionStrengthWrapper,
        VideoConditionByReferenceLatent,
    )

    weighted = any(attention < 1 for *_, attention in case.references)
    for latents, scale, strength, attention in case.references:
        item = VideoConditionByReferenceLatent(latents, scale, strength)
        yield ConditioningItemAttentionStrengthWrapper(item, attention) if weighted else item


def plain(model: Any, words: dict[str, tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    from ltx_pipelines.utils.helpers import simple_denoising_func

    return simple_denoising_func(*words["positive"], model)


def guided(model: Any, words: dict[str, tuple[Any, Any]]) -> Callable[..., tuple[Any, Any]]:
    from ltx_core.components.guiders import MultiModalGuider, MultiModalGuiderParams
    from ltx_pipelines.utils.helpers import multi_modal_guider_denoising_func

    guiders = [
        MultiModalGuider(
            MultiModalGuiderParams(
                cfg_scale=cfg, stg_scale=1.0, stg_blocks=[1], rescale_scale=0.7, modality_scale=3.0
            ),
            negative,
        )
        for cfg, negative in zip((3.0, 7.0), words["negative"], strict=True)
    ]
    return multi_modal_guider_denoising_func(*guiders, *words["positive"], model)
