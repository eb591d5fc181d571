"""Lightricks' `DistilledPipeline`, as its command line calls it, with models that stay loaded."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.peers.clip import RATE, Timed, clip_of, context, timed

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.gpu.bench import Bench

MODELS = ("transformer", "video_encoder", "video_decoder", "audio_decoder", "vocoder", "spatial_upsampler")


def run(bench: Bench, checkpoint: Path, upsampler: Path, repeats: int, fp8: bool = False) -> Timed:
    """`fp8` is its `--quantization fp8-cast`."""
    import torch
    from ltx_core.model.video_vae import TilingConfig
    from ltx_core.quantization import QuantizationPolicy
    from ltx_pipelines import distilled

    made = distilled.DistilledPipeline(
        distilled_checkpoint_path=str(checkpoint),
        gemma_root=None,
        spatial_upsampler_path=str(upsampler),
        loras=(),
        device=torch.device(bench.device),
        quantization=QuantizationPolicy.fp8_cast() if fp8 else None,
    )
    for name in MODELS:
        setattr(made.model_ledger, name, cache(getattr(made.model_ledger, name)))
    distilled.encode_prompts = lambda *_, **__: [_words(made.model_ledger.transformer(), bench.device)]
    clip = clip_of(bench)

    @torch.inference_mode()
    def once(number: int) -> Any:
        frames, sound = made(
            prompt="",
            seed=number,
            height=clip.height,
            width=clip.width,
            num_frames=clip.frames,
            frame_rate=RATE,
            images=[],
            tiling_config=TilingConfig.default(),
        )
        return [part.cpu() for part in frames], sound.waveform.cpu()

    return timed(bench, once, repeats)


def _words(transformer: Any, device: str) -> Any:
    """What its encoder of prompts answers."""
    from types import SimpleNamespace

    block = transformer.velocity_model.transformer_blocks[0]
    widths = (block.attn2.to_k.in_features, block.audio_attn2.to_k.in_features)
    video, audio = (context(width, seed, device) for seed, width in enumerate(widths))
    return SimpleNamespace(video_encoding=video, audio_encoding=audio)
