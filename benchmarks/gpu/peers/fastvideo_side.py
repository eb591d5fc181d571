"""FastVideo's `LTX2Pipeline` with the options of its example for the distilled LTX-2.3, on one device.

Its own loaders read a folder for each model, so that its classes are filled here, as they do it. Ready words
stand in for the text encoder. In place of its example's compilation, which tunes for 20 minutes and more, is
its regional one; FlashAttention 4 is in place of 2 or 3, of which no wheel for torch 2.11 is published.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.peers.clip import RATE, Timed, clip_of, context, timed

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

STEPS, SECOND_STEPS = 8, 3
ALONE = {
    "RANK": "0",
    "LOCAL_RANK": "0",
    "WORLD_SIZE": "1",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29507",
}
FLASH = {"FASTVIDEO_ATTENTION_BACKEND": "FLASH_ATTN", "FASTVIDEO_FA4": "1"}
STATISTICS = "per_channel_statistics."
UNREAD = ("mean-of-stds", "mean-of-stds_over_std-of-means", "channel")
"""Of the VAE's statistics, buffers that it has and never reads; files have none for them."""


def run(
    bench: Bench, checkpoint: Path, upsampler: Path, repeats: int, compiled: bool = False, flash: bool = False
) -> Timed:
    """`compiled` is its `inference_torch_compile`; `flash` its `FASTVIDEO_FA4`, else torch's attention."""
    import torch

    os.environ |= ALONE | (FLASH if flash else {"FASTVIDEO_ATTENTION_BACKEND": "TORCH_SDPA"})
    logging.disable(logging.INFO)
    if not bench.device.startswith("cuda"):
        _take_cpu()
    from fastvideo.pipelines.pipeline_batch_info import ForwardBatch

    pipeline, args = _pipeline(bench, checkpoint, upsampler, compiled)
    clip, device = clip_of(bench), bench.device
    arch = pipeline.modules["transformer"].config.arch_config
    widths = (arch.cross_attention_dim, arch.audio_cross_attention_dim)
    video, audio = (context(width, seed, device) for seed, width in enumerate(widths))

    @torch.inference_mode()
    def once(number: int) -> Any:
        batch = ForwardBatch(
            data_type="video",
            prompt="",
            prompt_embeds=[video],
            extra={"ltx2_audio_prompt_embeds": [audio]},
            seed=number,
            height=clip.height,
            width=clip.width,
            num_frames=clip.frames,
            fps=int(RATE),
            num_inference_steps=STEPS,
            guidance_scale=1.0,
        )
        made = pipeline.forward(batch, args)
        assert made.output.shape[2:] == (clip.frames, clip.height, clip.width), made.output.shape
        return made.output.cpu(), made.extra["audio"]

    return timed(bench, once, repeats)


def _take_cpu() -> None:
    """It knows a CPU, but neither takes it as a device nor gives it attention."""
    import fastvideo.pipelines.basic.ltx2.ltx2_pipeline  # noqa: F401
    import torch
    from fastvideo.platforms.cpu import CpuPlatform

    name = "get_local_torch_device"
    for module in [each for each in sys.modules.values() if name in vars(each)]:
        setattr(module, name, lambda: torch.device("cpu"))
    CpuPlatform.get_attn_backend_cls = lambda *_: "fastvideo.attention.backends.sdpa.SDPABackend"


def _pipeline(bench: Bench, checkpoint: Path, upsampler: Path, compiled: bool) -> tuple[Any, Any]:
    """The pipeline, all its models on the device, and its arguments."""
    from fastvideo.fastvideo_args import FastVideoArgs
    from fastvideo.pipelines.basic.ltx2.ltx2_pipeline import LTX2Pipeline
    from fastvideo.pipelines.basic.ltx2.pipeline_configs import LTX2T2VConfig

    folder = bench.folder("fastvideo")
    args = FastVideoArgs(
        model_path=str(folder),
        pipeline_config=LTX2T2VConfig(),
        num_gpus=1,
        ltx2_refine_enabled=True,
        ltx2_refine_upsampler_path=str(_empty_folder(folder)),
        ltx2_refine_lora_path="",
        ltx2_refine_num_inference_steps=SECOND_STEPS,
        ltx2_refine_guidance_scale=1.0,
        ltx2_refine_add_noise=True,
        ltx2_vae_tiling=False,
        inference_torch_compile=compiled,
        **{f"{part}_cpu_offload": False for part in ("dit", "text_encoder", "vae")},
    )

    # Filled when the process group is up, which its attention layers ask for their size.
    LTX2Pipeline.load_modules = lambda *_: _modules(bench, checkpoint, upsampler, args)
    pipeline = LTX2Pipeline(str(folder), args)
    pipeline.post_init()
    pipeline._stages.remove(pipeline._stage_name_mapping["prompt_encoding_stage"])
    return pipeline, args


def _empty_folder(folder: Path) -> Path:
    """Where its arguments have an upsampler to be, which is handed over."""
    place = folder / "spatial_upscaler"
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"_class_name": "LTX2LatentUpsampler"}))
    return place


def _modules(bench: Bench, checkpoint: Path, upsampler: Path, args: Any) -> dict[str, Any]:
    """Its models by name, in bfloat16, as its loaders make them."""
    import torch
    from fastvideo.models.audio.ltx2_audio_vae import LTX2AudioDecoder, LTX2Vocoder
    from fastvideo.models.upsamplers.ltx2_upsampler import LTX2LatentUpsampler
    from fastvideo.models.vaes.ltx2vae import LTX2CausalVideoAutoencoder

    from actors.engines.diffusers.checkpoint import Checkpoint

    opened, beside = Checkpoint.open(checkpoint), Checkpoint.open(upsampler)
    configs = opened.configs
    video, audio = opened.state("vae."), opened.state("audio_vae.")
    statistics = {name: tensor for name, tensor in video.items() if name.startswith(STATISTICS)}
    video |= {
        f"{side}.{name}": tensor for side in ("encoder", "decoder") for name, tensor in statistics.items()
    }
    decoder = {name.removeprefix("decoder."): tensor for name, tensor in audio.items()}

    def filled(kind: Any, config: Any, state: Any, inner: str = "", loose: bool = False) -> Any:
        torch.set_default_dtype(torch.bfloat16)
        try:
            module = kind(config).to(bench.device)
        finally:
            torch.set_default_dtype(torch.float32)
        if not loose:
            found = getattr(module, inner, module).load_state_dict(state, strict=False)
            missing = [name for name in found.missing_keys if name.split(STATISTICS)[-1] not in UNREAD]
            assert not missing, f"{kind.__name__} lacks {missing[:3]}"
        return module.eval().requires_grad_(False)

    return {
        "transformer": _transformer(bench, opened, args),
        # Its width is fixed, and not that of the rehearsal.
        "vae": filled(LTX2CausalVideoAutoencoder, {"vae": configs["vae"]}, video, loose=not bench.real),
        "audio_vae": filled(LTX2AudioDecoder, {"audio_vae": configs["audio_vae"]}, decoder, "model"),
        "vocoder": filled(LTX2Vocoder, {"vocoder": configs["vocoder"]}, opened.state("vocoder."), "model"),
        "spatial_upsampler": filled(LTX2LatentUpsampler, beside.configs, beside.state(""), "model"),
    }


def _transformer(bench: Bench, opened: Any, args: Any) -> Any:
    """In the loader's steps: made without memory, filled, its blocks compiled where that is asked for."""
    import torch
    from fastvideo.models.dits.ltx2 import LTX2Transformer3DModel
    from fastvideo.models.loader import fsdp_load

    config = args.pipeline_config.dit_config
    config.update_model_arch(opened.configs["transformer"])
    with torch.device("meta"):
        model = LTX2Transformer3DModel(config=config, hf_config=opened.configs["transformer"])
    state = opened.state("model.diffusion_model.")
    model.load_state_dict(
        {f"model.{name}": tensor.to(bench.device) for name, tensor in state.items()}, assign=True
    )
    model.eval().requires_grad_(False)
    if args.inference_torch_compile:
        fsdp_load._prepare_model_for_compile(model, regional=True)
        fsdp_load._enable_regional_attention_compile(model)
        fsdp_load._compile_model_regions(model, {})
    return model
