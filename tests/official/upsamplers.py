"""Latent upsamplers of LTX-2: their layout as published, and narrow ones with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.official.files import Shapes, upsampler_shapes
from tests.official.ltx2_files import TEMPORAL_UPSAMPLER, UPSAMPLER


def wide_upsampler_shapes(rational: bool = False) -> Shapes:
    """Those of 2x in space: LTX-Video's, twice as wide (`mid_channels` 1024 in what diffusers converts them
    with); 2.0's is `rational`, which blurs what it has spread."""
    wide = {512: 1024, 2048: 4096}
    found = {
        key: tuple(wide.get(size, size) for size in shape)
        for key, shape in upsampler_shapes("spatial").items()
    }
    if not rational:
        return found
    renamed = {key.replace("upsampler.0.", "upsampler.conv."): shape for key, shape in found.items()}
    return renamed | {"upsampler.blur_down.kernel": (1, 1, 5, 5)}


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
