"""Number types of a model file: plain ones, and the ways in which weights are quantised."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING

from jobs.weights.gguf import QUANTISED as GGUF_TYPES

if TYPE_CHECKING:
    from jobs.weights.header import Tensor, Weights

PLAIN = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
FP8 = {"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"}
SCALES = (".scale_weight", ".weight_scale")
"""What a weight is multiplied by: of the older and of the newer layout of scaled fp8 files."""
MARKER = "scaled_fp8"
"""A tensor without values that marks the older layout."""
METADATA = "_quantization_metadata"
NOTES = (".scale_input", ".input_scale", ".comfy_quant")
"""Beside a quantised weight: scales of activations, for products in fp8, and the name of the format."""
Q8_SCALES = ".scales"
"""Scales by row of Lightricks' Q8 kernels, whose weights are rotated."""


def number_types(weights: Weights, tensors: Mapping[str, Tensor]) -> str:
    """The number type that most values of `tensors` have, such as `bfloat16`, `float8_e4m3fn`, `scaled
    float8_e4m3fn`, `nvfp4`, `mxfp8`, `int8`, `q8` or `GGUF Q4_K`."""
    quantised = quantisation(weights, tensors)
    if quantised:
        return quantised
    most = _most(tensors)
    return PLAIN.get(most) or FP8.get(most, most.lower())


def quantisation(weights: Weights, tensors: Mapping[str, Tensor]) -> str:
    """How the weights are quantised, as `number_types` names it; empty for plain number types."""
    formats = declared_formats(weights)
    most = _most(tensors, frozenset(PLAIN))
    if formats - set(FP8.values()):
        return " and ".join(sorted(name.partition("_")[0] for name in formats))
    if most in GGUF_TYPES:
        return f"GGUF {most}"
    if any(name.endswith(".weight_scale_2") for name in tensors):
        return "nvfp4"
    if any(name.endswith(Q8_SCALES) for name in tensors):
        return "q8"
    if most in FP8:
        scale = next((tensors[name] for name in tensors if name.endswith(SCALES)), None)
        if scale is not None and prod(scale.shape) > 1 and scale.dtype not in PLAIN:
            return "mxfp8"
        return f"scaled {FP8[most]}" if scale is not None else FP8[most]
    return {"I8": "int8", "U8": "uint8"}.get(most, "")


def unread_by_diffusers(weights: Weights, tensors: Mapping[str, Tensor]) -> str:
    """How the weights are quantised, where the diffusers engine does not read that; else empty."""
    found = quantisation(weights, tensors)
    read = not found or found.removeprefix("scaled ") in FP8.values() or found.startswith("GGUF ")
    return "" if read else found


def declared_formats(weights: Weights) -> set[str]:
    """The formats that the metadata gives to single layers."""
    try:
        layers = json.loads(weights.metadata.get(METADATA, "{}")).get("layers", {})
        return {str(layer.get("format")) for layer in layers.values()}
    except (ValueError, AttributeError, RecursionError):
        return {"an unreadable format"}


def is_note(name: str) -> bool:
    """Whether a tensor describes the quantisation instead of being a weight."""
    return name.rpartition(".")[2] == MARKER or name.endswith((*SCALES, *NOTES))


def _most(tensors: Mapping[str, Tensor], without: frozenset[str] = frozenset()) -> str:
    """The type with most values, `without` some that count only where there is no other."""
    counts: Counter[str] = Counter()
    for tensor in tensors.values():
        counts[tensor.dtype] += prod(tensor.shape)
    special = {name: count for name, count in counts.items() if name not in without}
    return max(special or counts, key=lambda name: counts[name], default="")
