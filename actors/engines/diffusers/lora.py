"""LoRA files merged into the transformer's weights at load.

Merging needs no further package, costs nothing per step, and leaves FFN chunking and offloading alone.
Keys may start with `transformer.` (diffusers, PEFT), `diffusion_model.` (ComfyUI, original names) or
`lora_unet_` (kohya), each with `lora_A/lora_B` or `lora_down/lora_up` and an optional `alpha`.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from jobs.errors import Problem, SpecError

log = logging.getLogger(__name__)

_PREFIXES = ("base_model.model.", "transformer.", "model.diffusion_model.", "diffusion_model.", "lora_unet_")
_PARTS = {
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".alpha": "alpha",
}
_ORIGINAL_NAMES = (("patchify_proj", "proj_in"), ("adaln_single", "time_embed"))


@dataclass(frozen=True)
class Delta:
    """W += strength * alpha / rank * up @ down. `down` `[r, in]`, `up` `[out, r]`."""

    down: Tensor
    up: Tensor
    alpha: float

    def weight(self, strength: float) -> Tensor:
        scale = strength * self.alpha / self.down.shape[0]
        return scale * (self.up.float() @ self.down.float())


def merge(transformer: Any, path: Path, strength: float) -> int:
    """Add the LoRA in `path` to the weights of `transformer`; returns the number of layers changed.

    Raises `SpecError` where the file holds nothing for this model.
    """
    deltas, leftover = read(path)
    layers = {
        name: module for name, module in transformer.named_modules() if isinstance(module, torch.nn.Linear)
    }
    flat = {name.replace(".", "_"): name for name in layers}
    matched = {
        flat[key.replace(".", "_")]: delta for key, delta in deltas.items() if key.replace(".", "_") in flat
    }
    if not matched:
        raise SpecError([_misfit(path, "none of its keys names a layer of this transformer")])
    for name, delta in matched.items():
        _add(layers[name], name, delta, path, strength)
    unused = len(deltas) - len(matched) + len(leftover)
    if unused:
        log.warning(
            "LoRA %s: %d layers merged, %d keys are for something else", path.name, len(matched), unused
        )
    return len(matched)


def read(path: Path) -> tuple[dict[str, Delta], list[str]]:
    """The complete deltas of a LoRA file by diffusers layer name, and the keys that belong to none."""
    parts: dict[str, dict[str, Tensor]] = {}
    leftover: list[str] = []
    for key, tensor in load_file(path).items():
        ending = next((ending for ending in _PARTS if key.endswith(ending)), None)
        if ending is None:
            leftover.append(key)
        else:
            parts.setdefault(_layer_name(key[: -len(ending)]), {})[_PARTS[ending]] = tensor
    deltas = {
        name: Delta(
            found["down"], found["up"], float(found.get("alpha", torch.tensor(found["down"].shape[0])))
        )
        for name, found in parts.items()
        if {"down", "up"} <= found.keys()
    }
    return deltas, leftover + [name for name in parts if name not in deltas]


def _layer_name(key: str) -> str:
    for prefix in _PREFIXES:
        key = key.removeprefix(prefix)
    for original, diffusers in _ORIGINAL_NAMES:
        key = key.replace(original, diffusers)
    return key


def _add(layer: torch.nn.Linear, name: str, delta: Delta, path: Path, strength: float) -> None:
    change = delta.weight(strength)
    if change.shape != layer.weight.shape:
        found, wanted = tuple(change.shape), tuple(layer.weight.shape)
        raise SpecError([_misfit(path, f"{name} is {found} there and {wanted} in this transformer")])
    with torch.no_grad():
        layer.weight.copy_((layer.weight.float() + change.to(layer.weight.device)).to(layer.weight.dtype))


def _misfit(path: Path, rule: str) -> Problem:
    return Problem(
        place="engine.loras",
        value=path.name,
        rule=rule,
        remedy="name a LoRA that was trained for this model",
    )
