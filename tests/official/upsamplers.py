"""Narrow latent upsamplers with random weights, named as the published ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.official.ltx2_files import TEMPORAL_UPSAMPLER, UPSAMPLER


def write_temporal(path: Path) -> Path:
    """One in time, as LTX-2 has it: twice the latents, of which the first is cut away."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(4)
    save_file({name: _drawn(name, shape, generator) for name, shape in TEMPORAL_UPSAMPLER.items()}, path)
    return path


def write_rational(path: Path, spread: int = 9) -> Path:
    """One that makes 1.5 times the size, as LTX-2.3 has one: three times as large, and of that every other
    value of a blur. `spread` 4 makes twice the size."""
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(3)
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0])
    shapes = {
        name: (*shape, 3) if len(shape) == 4 else shape  # over several frames, as all published ones are
        for name, shape in UPSAMPLER.items()
        if not name.startswith("upsampler.")
    }
    width = shapes["initial_conv.bias"][0]
    shapes |= {
        "upsampler.conv.weight": (spread * width, width, 3, 3),
        "upsampler.conv.bias": (spread * width,),
    }
    tensors = {name: _drawn(name, shape, generator) for name, shape in shapes.items()}
    tensors["upsampler.blur_down.kernel"] = (row[:, None] * row / 256)[None, None]
    save_file(tensors, path)
    return path


def _drawn(name: str, shape: tuple[int, ...], generator: Any) -> Any:
    import torch

    return torch.randn(shape, generator=generator) * 0.05 + float(name.endswith("norm.weight"))
