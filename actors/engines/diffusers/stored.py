"""Tensors of model files in the number type that the engine computes in, whatever they are stored as."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from jobs.errors import CannotRun
from jobs.weights.header import GGUF, shards
from jobs.weights.numbers import SCALES


def read_tensors(path: Path, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
    """The named tensors of a file, or of a folder's shards, each in memory of its own, in `dtype` (None: as
    stored).

    Files are mapped; what is held at once is the result and one tensor more. Copies are aligned as torch
    aligns and not as the file happens to be: kernels sum in an order that depends on it.
    """
    if path.suffix.lower() == GGUF:
        yield from _from_gguf(path, names, dtype)
        return
    with _mapped(path) as where:
        for name in names:
            stored = where[name].get_tensor(name)
            scale = _scale_of(where, name)
            own = stored.to(dtype or stored.dtype, copy=True)
            yield name, own if scale is None else own.mul_(scale.to(own.dtype))


def fp8_scales(path: Path, names: Iterable[str]) -> dict[str, Tensor]:
    """Scales `[out, 1]` float32 of those tensors that a file or folder has in float8_e4m3fn; 1 in plain
    files."""
    if path.suffix.lower() == GGUF:
        return {}
    found: dict[str, Tensor] = {}
    with _mapped(path) as where:
        for name in names:
            held = where[name].get_slice(name)
            if held.get_dtype() == "F8_E4M3":
                scale = _scale_of(where, name)
                one = torch.ones(()) if scale is None else scale.float()
                found[name] = one.expand(held.get_shape()[0], 1).clone()
    return found


@contextmanager
def _mapped(path: Path) -> Iterator[dict[str, Any]]:
    """The open file that has each tensor, of a file or of a folder's shards."""
    with ExitStack() as stack:
        files = shards(path) if path.is_dir() else [path]
        opened = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
        yield {name: file for file in opened for name in file.keys()}  # noqa: SIM118


def _scale_of(where: dict[str, Any], name: str) -> Tensor | None:
    """What a quantised weight is multiplied by, in the engine's number type as in ComfyUI's core."""
    layer = name.removesuffix(".weight")
    found = next((layer + ending for ending in SCALES if layer + ending in where), None)
    if found is None or layer == name:
        return None
    scale = where[found].get_tensor(found)
    return scale.reshape(-1, 1) if scale.numel() > 1 else scale.reshape(())


def _from_gguf(path: Path, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
    """By the format's own package: in float32, where diffusers' loader multiplies in float16."""
    try:
        from gguf import GGUFReader
        from gguf.quants import dequantize
    except ImportError:
        raise CannotRun(f"{path.name} needs the package gguf: pip install 'ltx-farm[gguf]'") from None
    tensors = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    for name in names:
        plain = dequantize(tensors[name].data, tensors[name].tensor_type)
        writable = np.require(plain, requirements="W")
        yield name, torch.from_numpy(writable).to(dtype or torch.float32, copy=True)
