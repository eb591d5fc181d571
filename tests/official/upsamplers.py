"""Narrow latent upsamplers with random weights, named as the published ones."""

from __future__ import annotations

from pathlib import Path

from tests.official.ltx2_files import UPSAMPLER


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
    tensors = {
        name: torch.randn(shape, generator=generator) * 0.05 + float(name.endswith("norm.weight"))
        for name, shape in shapes.items()
    }
    tensors["upsampler.blur_down.kernel"] = (row[:, None] * row / 256)[None, None]
    save_file(tensors, path)
    return path
