"""diffusers' two-stage pipelines for the distilled LTX-2, as its documentation has them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.gpu.peers.clip import RATE, Timed, clip_of, context, timed

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gpu.bench import Bench

LEVELS = (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875)
SECOND_LEVELS = (0.909375, 0.725, 0.421875)


def run(bench: Bench, checkpoint: Path, upsampler: Path, repeats: int, compiled: bool = False) -> Timed:
    """`compiled`: the transformer's blocks, as diffusers' page on speed has it."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, LTX2LatentUpsamplePipeline, LTX2Pipeline

    parts = _modules(bench, checkpoint, upsampler)
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=False, shift_terminal=None)
    larger = LTX2LatentUpsamplePipeline(vae=parts["vae"], latent_upsampler=parts.pop("upsampler"))
    pipeline = LTX2Pipeline(**parts, scheduler=scheduler, text_encoder=None, tokenizer=None)
    for each in (pipeline, larger):
        each.set_progress_bar_config(disable=True)
    pipeline.vae.enable_tiling()
    if compiled:
        pipeline.transformer.compile_repeated_blocks(fullgraph=True)
    clip, plain = clip_of(bench), _plain(bench, pipeline.transformer.dtype)

    def once(number: int) -> Any:
        generator = torch.Generator(bench.device).manual_seed(number)
        half = {"width": clip.width // 2, "height": clip.height // 2}
        made, sound = pipeline(
            **plain, **half, sigmas=list(LEVELS), generator=generator, output_type="latent"
        )
        (made,) = larger(
            latents=made, **half, num_frames=clip.frames, output_type="latent", return_dict=False
        )
        return pipeline(
            **plain,
            width=clip.width,
            height=clip.height,
            latents=made,
            audio_latents=sound,
            sigmas=list(SECOND_LEVELS),
            noise_scale=SECOND_LEVELS[0],
            generator=generator,
            output_type="np",
        )

    return timed(bench, once, repeats)


def _plain(bench: Bench, dtype: Any) -> dict[str, Any]:
    """Without guidance."""
    import torch

    words = context(8, 0, bench.device, dtype)
    off = {"stg_scale": 0.0, "audio_stg_scale": 0.0}
    one = {f"{side}{kind}_scale": 1.0 for side in ("", "audio_") for kind in ("guidance", "modality")}
    return {
        **off,
        **one,
        "num_frames": clip_of(bench).frames,
        "frame_rate": RATE,
        "prompt_embeds": words,
        "prompt_attention_mask": torch.ones(words.shape[:2], dtype=torch.long, device=bench.device),
        "return_dict": False,
    }


def _modules(bench: Bench, checkpoint: Path, upsampler: Path) -> dict[str, Any]:
    """Components of the file on the device; in place of the connectors one that answers what they would."""
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2 import components

    dtype = torch.bfloat16 if bench.device.startswith("cuda") else torch.float32
    opened, beside = Checkpoint.open(checkpoint), Checkpoint.open(upsampler)
    files = {"upsampler": beside}
    parts = {
        name: getattr(components, f"{name}_component")(files.get(name, opened)).load(dtype).to(bench.device)
        for name in ("transformer", "vae", "audio_vae", "vocoder", "upsampler")
    }
    config = parts["transformer"].config
    widths = (config.cross_attention_dim, config.audio_cross_attention_dim)
    answers = [context(width, seed, bench.device, dtype) for seed, width in enumerate(widths)]

    class Connectors(torch.nn.Module):
        device = torch.device(bench.device)

        def forward(self, states: Any, mask: Any, padding_side: str = "left") -> Any:
            return (*answers, mask)

    return {**parts, "connectors": Connectors()}
