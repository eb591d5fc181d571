"""The judge: diffusers' own pipeline on a transformer of its own, whose names diffusers' converter made."""

from __future__ import annotations

import gc
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.files import find_files
from actors.engines.diffusers.ltx_video.checkpoint import transformer_component
from actors.engines.diffusers.ltx_video.tokens import tokens_of
from actors.engines.noise import noise_source
from actors.engines.schedule import ltx_sigmas
from actors.payload import Payload, to_torch
from actors.selftest.subject import FRAME_RATE, SEED, ModelUnderTest
from jobs.frames import SPATIAL, frames_of

JUDGED_CFG = 3.0


LEVELS = (1.0, 0.98, 0.95, 0.9, 0.7, 0.4, 0.0)
"""Noise levels of the comparison for models whose first latent counts as one frame: `LTXConditionPipeline`
takes any list."""


class CannotJudge(Exception):
    """Diffusers cannot take the file's weights; the message says why."""


def judged_sigmas(subject: ModelUnderTest) -> tuple[float, ...]:
    if subject.causal:
        return LEVELS
    tokens = subject.latents * (subject.height // SPATIAL) * (subject.width // SPATIAL)
    return tuple(ltx_sigmas(len(LEVELS) - 1, tokens, 2.05, 0.95).tolist())


@torch.inference_mode()
def judged_steps(subject: ModelUnderTest, words: Payload, steps: int) -> list[Tensor]:
    """The tokens `[1, N, C]` after each step of diffusers' own pipeline, on weights that it renamed itself.

    Raises CannotJudge.
    """
    pipeline = _pipeline(subject)
    seen: list[Tensor] = []

    def keep(running: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        seen.append(tensors["latents"].float().cpu())
        running._interrupt = step + 1 >= steps
        return {}

    pipeline(
        **_embeddings(words, subject.device, subject.dtype),
        height=subject.height,
        width=subject.width,
        num_frames=frames_of(subject.latents),
        frame_rate=FRAME_RATE,
        output_type="latent",
        callback_on_step_end=keep,
        return_dict=False,
        **_start(subject),
    )
    del pipeline
    gc.collect()
    torch.cuda.empty_cache()
    return seen[:steps]


def _pipeline(subject: ModelUnderTest) -> Any:
    """Diffusers' pipeline for such a model, with the scheduler that its authors publish."""
    from diffusers import FlowMatchEulerDiscreteScheduler, LTXConditionPipeline, LTXPipeline

    kind = LTXConditionPipeline if subject.causal else LTXPipeline
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=not subject.causal,
        base_shift=0.95,
        max_shift=2.05,
        base_image_seq_len=1024,
        max_image_seq_len=4096,
        shift_terminal=None if subject.causal else 0.1,
    )
    pipeline = kind(
        scheduler=scheduler,
        vae=subject.codec.vae,
        text_encoder=None,
        tokenizer=None,
        transformer=_judge(subject).to(subject.device),
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _start(subject: ModelUnderTest) -> dict[str, Any]:
    """The farm's own noise and noise levels, in the pipeline's arguments."""
    if subject.causal:
        generator = torch.Generator().manual_seed(SEED)
        timesteps = [1000 * sigma for sigma in LEVELS[:-1]]
        return {"timesteps": timesteps, "guidance_scale": 1.0, "generator": generator}
    like = torch.empty(1, 128, subject.latents, subject.height // SPATIAL, subject.width // SPATIAL)
    noise = tokens_of(noise_source(like, SEED)()).to(subject.device)
    return {"latents": noise, "guidance_scale": JUDGED_CFG, "num_inference_steps": len(LEVELS) - 1}


def _embeddings(words: Payload, device: str, dtype: torch.dtype) -> dict[str, Tensor]:
    """Both prompts at one length: the shorter is padded with tokens that nobody sees."""
    names = {"positive": "prompt", "negative": "negative_prompt"}
    longest = max(words[which].shape[1] for which in names)
    given: dict[str, Tensor] = {}
    for which, name in names.items():
        embeds, mask = to_torch(words, which), to_torch(words, f"{which}_mask")
        more = longest - embeds.shape[1]
        given[f"{name}_embeds"] = F.pad(embeds, (0, 0, 0, more)).to(device, dtype)
        given[f"{name}_attention_mask"] = F.pad(mask, (0, more)).to(device)
    return given


def _judge(subject: ModelUnderTest) -> Any:
    """A transformer of diffusers with the file's weights, in the dtype of the one under test."""
    from diffusers import LTXVideoTransformer3DModel
    from diffusers.loaders.single_file_utils import convert_ltx_transformer_checkpoint_to_diffusers

    files, dtype = find_files(subject.config), subject.dtype
    if files.transformer.is_dir():
        return LTXVideoTransformer3DModel.from_pretrained(files.transformer, torch_dtype=dtype).eval()
    opened, prefix = Checkpoint.open(files.checkpoint), "model.diffusion_model."
    stored = {prefix + name: tensor for name, tensor in opened.state(prefix).items()}
    state = convert_ltx_transformer_checkpoint_to_diffusers(stored)
    with torch.device("meta"):
        judge = transformer_component(opened).build()
    try:
        judge.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()}, assign=True)
    except RuntimeError as error:
        raise CannotJudge(str(error).splitlines()[0]) from None
    return judge.eval().requires_grad_(False)
