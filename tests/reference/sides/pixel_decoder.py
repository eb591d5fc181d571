"""LTX-2.5's diffusion decoder: diffusers' pipeline and the farm's codec, of one file and at equal noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

KERNELS = {"stage_kernels": [[3, 3, 3]] * 5, "stage5_kernel": [5, 5, 5]}
"""diffusers' attention looks at all places at once on a CPU: kernels are small here, as clips are."""
NAMES = {
    "in_channels": "latent_channels",
    "patch_size": "patch_size",
    "default_num_inference_steps": "decoder_num_inference_steps",
}
"""Arguments of the decoder that its model calls otherwise; the others have `decoder_` before them."""


def both(path: Path, steps: int) -> tuple[Any, Any]:
    """The pipeline, whose pixels are as they come out of the decoder, and the codec."""
    import torch
    from diffusers import LTX2VideoDiffusionDecodePipeline, LTX2VideoDiffusionDecoderModel

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.pixels.component import decoder_arguments, pixel_vae_component
    from actors.engines.diffusers.ltx2.pixels.vae import codec_of
    from tests.official.pixel_vae import NARROW, write_narrow_pixel_vae

    config = {**NARROW, **KERNELS, "default_num_inference_steps": steps}
    opened = Checkpoint.open(write_narrow_pixel_vae(path, config))
    module = pixel_vae_component(opened).load(torch.float32)
    given = decoder_arguments(opened.weights.tensors, opened.configs["vae"])
    named = {NAMES.get(name, f"decoder_{name}"): value for name, value in given.items()}
    model = LTX2VideoDiffusionDecoderModel(**named).eval()
    state = {name: each for name, each in module.state_dict().items() if not name.startswith("encoder.")}
    model.load_state_dict(state)
    pipeline = LTX2VideoDiffusionDecodePipeline(model, scheduler=None)
    # 8 bits, or a clamp, would hide what differs.
    pipeline.video_processor.postprocess_video = lambda pixels, **_: pixels
    return pipeline, codec_of(module)
