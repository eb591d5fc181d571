"""LoRA files merged into the transformer's weights.

Merging needs no further package, costs nothing per step, and leaves FFN chunking and offloading alone. The
formulas are those of ComfyUI's core (`comfy/weight_adapter`), in float32 for all LoRAs of a job together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import safe_open
from torch import Tensor

from actors.engines.diffusers.ltx_video.names import TRANSFORMER_NAMES, rename
from jobs.errors import Problem, SpecError
from jobs.spec.engine import PassStrengths
from jobs.weights.header import Tensor as Entry
from jobs.weights.header import WeightsFault, read_weights
from jobs.weights.lora_keys import Patch, fit

log = logging.getLogger(__name__)

Parts = Mapping[str, Tensor]
"""The tensors of one change by what they hold, float32."""


@dataclass(frozen=True)
class OpenLora:
    """A LoRA file that fits its model, and how strongly it counts in each pass."""

    path: Path
    strengths: PassStrengths
    patches: tuple[Patch, ...]


def open_lora(path: Path, strengths: PassStrengths, model: Mapping[str, Entry]) -> OpenLora:
    """A LoRA file, its keys matched with the tensors of `model`. Raises `SpecError` where one fits none."""
    try:
        found = fit(read_weights(path), model)
    except (OSError, WeightsFault) as error:
        raise SpecError([_misfit(path, str(error))]) from error
    if found.fault:
        raise SpecError([_misfit(path, found.fault)])
    if found.for_text:
        log.warning("LoRA %s: %d keys are for a text encoder, and not used", path.name, len(found.for_text))
    return OpenLora(path, strengths, found.patches)


def _named(target: str) -> str:
    return next(iter(rename({target: target}, TRANSFORMER_NAMES)))


class MergedLoras:
    """The LoRAs in the weights of a transformer, which each pass may have at strengths of its own.

    Make it before anything wraps the transformer's layers. Weights are merged on the CPU from what the file
    has, so that they are the same bytes whichever pass was there before. `named` says what the module calls a
    tensor of a file, `stored` gives the module's tensors of these names anew, on the CPU.
    """

    def __init__(
        self,
        transformer: Any,
        loras: Sequence[OpenLora],
        stored: Callable[[Iterable[str]], Iterator[tuple[str, Tensor]]],
        named: Callable[[str], str] = _named,
    ) -> None:
        self._loras, self._stored = loras, stored
        self._patches: dict[str, list[tuple[Patch, OpenLora]]] = {}
        for lora in loras:
            for patch in lora.patches:
                self._patches.setdefault(named(patch.target), []).append((patch, lora))
        own = dict(transformer.named_parameters()) if loras else {}
        self._weights = {name: own[name] for name in self._patches}
        self._merged: tuple[float, ...] | None = None

    def use(self, which: Literal["sample", "upscale"]) -> None:
        """Gives the weights the strengths of that pass, where they have others."""
        wanted = tuple(getattr(lora.strengths, which) for lora in self._loras)
        if wanted == self._merged:
            return
        fresh = self._stored(self._weights) if self._merged is not None else self._weights.items()
        opened = {lora.path: safe_open(lora.path, framework="pt") for lora in self._loras}
        with torch.no_grad():
            for name, plain in fresh:
                weight = plain.detach().cpu().float()
                for patch, lora in self._patches[name]:
                    parts = _parts(opened[lora.path], patch)
                    weight = changed(weight, parts, getattr(lora.strengths, which), patch.scale)
                self._weights[name].copy_(weight.to(plain.dtype))
        self._merged = wanted


NO_LORAS = MergedLoras(None, (), lambda _: iter(()))


def changed(weight: Tensor, parts: Parts, strength: float, scale: float = 1.0) -> Tensor:
    """`weight` `[out, in]` float32 under one change; `scale` counts where the file has no `alpha`."""
    if "set" in parts:
        return parts["set"]
    if "diff" in parts:
        return weight + strength * parts["diff"]
    delta, rank = _delta(parts)
    if "alpha" in parts:
        scale = float(parts["alpha"]) / rank if rank else 1.0
    delta = delta.reshape(weight.shape)
    if "dora_scale" in parts:
        return _decomposed(weight, scale * delta, parts["dora_scale"], strength)
    return weight + (strength * scale) * delta


def _delta(parts: Parts) -> tuple[Tensor, int]:
    """The change without its scale, and the rank that an alpha is divided by (0: it does not count)."""
    if "up" in parts:
        return parts["up"].flatten(1) @ parts["down"].flatten(1), parts["down"].shape[0]
    if "hada_w1_a" in parts:
        first, second = (parts[f"hada_w{n}_a"] @ parts[f"hada_w{n}_b"] for n in (1, 2))
        return first * second, parts["hada_w1_b"].shape[0]
    sides = [
        parts[f"lokr_w{n}"] if f"lokr_w{n}" in parts else parts[f"lokr_w{n}_a"] @ parts[f"lokr_w{n}_b"]
        for n in (1, 2)
    ]
    ranks = [parts[f"lokr_w{n}_b"].shape[0] for n in (2, 1) if f"lokr_w{n}_b" in parts]
    return torch.kron(*sides), ranks[0] if ranks else 0


def _decomposed(weight: Tensor, delta: Tensor, magnitude: Tensor, strength: float) -> Tensor:
    """DoRA: direction and magnitude apart (https://arxiv.org/abs/2402.09353), as core scales it: by the norm
    of the old rows, or of the new columns."""
    new = weight + delta
    rows = magnitude.shape[0] == new.shape[0]
    norm = weight.norm(dim=1, keepdim=True) if rows else new.norm(dim=0, keepdim=True)
    new = new * (magnitude / (norm + torch.finfo(torch.float32).eps))
    return weight + strength * (new - weight) if strength != 1.0 else new


def _parts(file: Any, patch: Patch) -> dict[str, Tensor]:
    return {role: file.get_tensor(key).float() for role, key in patch.keys.items()}


def _misfit(path: Path, rule: str) -> Problem:
    return Problem(
        place="engine.loras",
        value=path.name,
        rule=rule,
        remedy="name a LoRA that was trained for this model, or leave it out",
    )
