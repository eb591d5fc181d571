"""IC-LoRA files in the layout in which Lightricks publishes them for LTX-2, with random values."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

LAYERS = re.compile(r"transformer_blocks\.\d+\.(attn[12]\.to_(q|k|v|out\.0)|ff\.net\.(0\.proj|2))\.weight")
"""What they change: of each block the layers of the picture."""
PREFIX, RANK = "model.diffusion_model.", 4


def write_ic_lora(path: Path, model: Path, scale: int) -> Path:
    """One for the single file `model`, trained with references `scale` times smaller than the film."""
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    with safe_open(model, framework="pt") as file:
        for key in sorted(file.keys()):
            name = key.removeprefix(PREFIX)
            if LAYERS.fullmatch(name):
                out, into = file.get_slice(key).get_shape()
                layer = f"diffusion_model.{name.removesuffix('.weight')}"
                tensors[f"{layer}.lora_A.weight"] = torch.randn(RANK, into, generator=generator) * 0.1
                tensors[f"{layer}.lora_B.weight"] = torch.randn(out, RANK, generator=generator) * 0.1
    save_file(tensors, path, metadata={"reference_downscale_factor": str(scale)})
    return path
