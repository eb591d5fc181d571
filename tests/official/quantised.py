"""Quantised files of every published layout, made from a plain one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

PREFIX = "model.diffusion_model."
Tensors = dict[str, Tensor]
Metadata = dict[str, str]
Make = Callable[[Tensors, Metadata], tuple[Tensors, Metadata]]
LARGEST = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}


def write_quantised(source: Path, target: Path, kind: str) -> Path:
    """The checkpoint `source` as a file of the kind `kind`."""
    with safe_open(source, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        metadata = dict(file.metadata() or {})
    made, metadata = KINDS[kind](tensors, metadata)
    save_file({key: tensor.contiguous() for key, tensor in made.items()}, target, metadata)
    return target


def _is_quantised(key: str, tensor: Tensor) -> bool:
    """The layers that published files quantise: those of the blocks."""
    return tensor.ndim == 2 and key.startswith(f"{PREFIX}transformer_blocks.") and key.endswith(".weight")


def _plain(dtype: torch.dtype) -> Make:
    def make(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
        return {k: t.to(dtype) if _is_quantised(k, t) else t for k, t in tensors.items()}, metadata

    return make


def _scaled(ending: str, dtype: torch.dtype = torch.float8_e4m3fn, by_row: bool = False) -> Make:
    def make(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
        made: Tensors = {}
        for key, tensor in tensors.items():
            if not _is_quantised(key, tensor):
                made[key] = tensor
                continue
            largest = tensor.abs().amax(dim=1, keepdim=True) if by_row else tensor.abs().max()
            scale = (largest / LARGEST[dtype]).float()
            made[key] = (tensor / scale).to(dtype)
            made[key.removesuffix(".weight") + ending] = scale
        return made, metadata

    return make


def _older(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
    made, metadata = _scaled(".scale_weight")(tensors, metadata)
    made |= {
        key.removesuffix("scale_weight") + "scale_input": torch.tensor(0.5)
        for key in made
        if key.endswith("scale_weight")
    }
    return made | {f"{PREFIX}scaled_fp8": torch.empty(0, dtype=torch.float8_e4m3fn)}, metadata


def _newer(name: str, dtype: torch.dtype, as_tensors: bool = False) -> Make:
    def make(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
        made, metadata = _scaled(".weight_scale", dtype)(tensors, metadata)
        layers = [key.removesuffix(".weight_scale") for key in made if key.endswith(".weight_scale")]
        if as_tensors:
            note = torch.tensor(list(json.dumps({"format": name}).encode()), dtype=torch.uint8)
            return made | {f"{layer}.comfy_quant": note.clone() for layer in layers}, metadata
        described = {"format_version": "1.0", "layers": {layer: {"format": name} for layer in layers}}
        return made, {**metadata, "_quantization_metadata": json.dumps(described)}

    return make


def _of_integers(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
    made: Tensors = {}
    layers = {}
    for key, tensor in tensors.items():
        if not _is_quantised(key, tensor):
            made[key] = tensor
            continue
        scale = tensor.abs().max() / 127
        made[key] = (tensor / scale).round().to(torch.int8)
        made[f"{key}_scale"] = scale
        layers[key.removesuffix(".weight")] = {"format": "int8_tensorwise"}
    described = {"format_version": "1.0", "layers": layers}
    return made, {**metadata, "_quantization_metadata": json.dumps(described)}


def _nvfp4(tensors: Tensors, metadata: Metadata) -> tuple[Tensors, Metadata]:
    """Names and number types alone: nothing here reads the values."""
    made: Tensors = {}
    layers = {}
    for key, tensor in tensors.items():
        if not _is_quantised(key, tensor):
            made[key] = tensor
            continue
        out, into = tensor.shape
        made[key] = torch.zeros(out, into // 2, dtype=torch.uint8)
        made[f"{key}_scale"] = torch.ones(out, into // 16).to(torch.float8_e4m3fn)
        made[f"{key}_scale_2"] = torch.tensor(1.0)
        layers[key.removesuffix(".weight")] = {"format": "nvfp4"}
    described = {"format_version": "1.0", "layers": layers}
    return made, {**metadata, "_quantization_metadata": json.dumps(described)}


KINDS: dict[str, Make] = {
    "float16": lambda tensors, metadata: ({k: t.half() for k, t in tensors.items()}, metadata),
    "bfloat16": lambda tensors, metadata: ({k: t.bfloat16() for k, t in tensors.items()}, metadata),
    "fp8 e4m3fn": _plain(torch.float8_e4m3fn),
    "fp8 e5m2": _plain(torch.float8_e5m2),
    "scaled fp8, scale_weight": _older,
    "scaled fp8, metadata": _newer("float8_e4m3fn", torch.float8_e4m3fn),
    "scaled fp8, metadata, e5m2": _newer("float8_e5m2", torch.float8_e5m2),
    "scaled fp8, comfy_quant": _newer("float8_e4m3fn", torch.float8_e4m3fn, as_tensors=True),
    "int8": _of_integers,
    "nvfp4": _nvfp4,
    "q8 kernels": _scaled(".scales", by_row=True),
}
READ = tuple(name for name in KINDS if name not in ("int8", "nvfp4", "q8 kernels"))
"""Those that the diffusers engine reads."""


def write_gguf(source: Path, target: Path, kind: str = "Q8_0") -> Path:
    """The transformer of `source` as the package `gguf` writes it; single values and biases stay float32."""
    import gguf
    import numpy as np

    quantised = gguf.GGMLQuantizationType[kind]
    block = gguf.GGML_QUANT_SIZES[quantised][0]
    writer = gguf.GGUFWriter(target, "ltxv")
    with safe_open(source, framework="pt") as file:
        for key in file.keys():  # noqa: SIM118
            if not key.startswith(PREFIX):
                continue
            data = file.get_tensor(key).float().numpy()
            fits = _is_quantised(key, file.get_tensor(key)) and data.shape[-1] % block == 0
            kept = quantised if fits else gguf.GGMLQuantizationType.F32
            made = gguf.quants.quantize(np.ascontiguousarray(data), kept)
            writer.add_tensor(key.removeprefix(PREFIX), made, raw_dtype=kept)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target
