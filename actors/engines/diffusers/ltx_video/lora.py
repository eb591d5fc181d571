"""LoRA files merged into the transformer's weights.

Merging needs no further package, costs nothing per step, and leaves FFN chunking and offloading alone. The
formulas are those of ComfyUI's core (`comfy/weight_adapter`), in float32 for all LoRAs of a pass together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import Tensor

from actors.engines.diffusers.fused.fp8 import Fp8Linear
from actors.engines.diffusers.ltx_video.names import TRANSFORMER_NAMES, rename
from jobs.errors import Problem, SpecError
from jobs.spec.engine import LoraUse, merged_loras
from jobs.weights.header import Tensor as Entry
from jobs.weights.header import WeightsFault, read_weights
from jobs.weights.lora_keys import Patch, fit

if TYPE_CHECKING:
    from jobs.spec.engine import PassStrengths, Which

CPU = torch.device("cpu")

log = logging.getLogger(__name__)

Parts = Mapping[str, Tensor]
"""The tensors of one change by what they hold, float32."""


@dataclass(frozen=True)
class OpenLora:
    """A LoRA file that fits its model."""

    path: Path
    patches: tuple[Patch, ...]


OF_THE_JOB, OF_A_SHOT = "engine.loras", "loras of a shot"
"""Where the spec has a LoRA."""


def open_lora(path: Path, place: str, model: Mapping[str, Entry]) -> OpenLora:
    """A LoRA file, its keys matched with the tensors of `model`. Raises `SpecError` where one fits none,
    with `place`, which is where the spec has it."""
    try:
        found = fit(read_weights(path), model)
    except (OSError, WeightsFault) as error:
        raise SpecError([_misfit(place, path, str(error))]) from error
    if found.fault:
        raise SpecError([_misfit(place, path, found.fault)])
    if found.for_text:
        log.warning("LoRA %s: %d keys are for a text encoder, and not used", path.name, len(found.for_text))
    return OpenLora(path, found.patches)


def _named(target: str) -> str:
    return next(iter(rename({target: target}, TRANSFORMER_NAMES)))


Changes = list[tuple[Patch, LoraUse]]
"""What is merged into one tensor, in order."""


class MergedLoras:
    """The LoRAs in the weights of a transformer: those of the job, which each pass may have at strengths of
    its own, and behind them those of the shot that is made.

    Make it before anything wraps the transformer's layers. Weights are merged by `device`, wherever they are,
    from what the file has, so that they are the same bytes whichever pass or shot was there before. `named`
    says what the module calls a tensor of a file, `stored` gives the module's tensors of these names anew.
    """

    def __init__(
        self,
        transformer: Any,
        loras: Sequence[tuple[Path, PassStrengths]],
        opened: Callable[[Path, str], OpenLora],
        stored: Callable[[Iterable[str]], Iterator[tuple[str, Tensor]]],
        named: Callable[[str], str] = _named,
        device: torch.device = CPU,
    ) -> None:
        self._loras = [(str(path), strengths) for path, strengths in loras]
        self._stored, self._named, self._device = stored, named, device
        # A file is opened once: a worker has seen before each task that those of a shot are what they were.
        self._opened = lru_cache(maxsize=None)(lambda path: opened(Path(path), self._place(path)))
        modules = dict(transformer.named_modules()) if transformer is not None else {}
        self._kept = {
            f"{at}.{key}" if at else key: (module._parameters, key)
            for at, module in modules.items()
            for key in module._parameters
        }
        self._fp8 = {f"{at}.weight": each for at, each in modules.items() if isinstance(each, Fp8Linear)}
        self._merged: dict[str, Changes] = {}
        self._set: tuple[LoraUse, ...] | None = ()
        for path, _ in self._loras:
            self._opened(path)

    def use(self, which: Which, own: Sequence[LoraUse] = ()) -> None:
        """Gives the weights the LoRAs of that pass and those of the shot, where they have others. Raises
        `SpecError` where one does not fit the model."""
        wanted = merged_loras(self._loras, which, own)
        if wanted != self._set:
            patches = self._patches(wanted)
            every = {**self._merged, **patches}
            self._set = None
            self._merge([name for name in every if self._merged.get(name) != patches.get(name)], patches)
            self._set = wanted

    def _place(self, path: str) -> str:
        return OF_THE_JOB if any(path == each for each, _ in self._loras) else OF_A_SHOT

    def _patches(self, wanted: Iterable[LoraUse]) -> dict[str, Changes]:
        """What changes each tensor, by its name in the module."""
        found: dict[str, Changes] = {}
        for use in wanted:
            for patch in self._opened(use.path).patches:
                found.setdefault(self._named(patch.target), []).append((patch, use))
        return found

    @torch.no_grad()
    def _merge(self, names: Sequence[str], patches: Mapping[str, Changes]) -> None:
        """A tensor that nothing was merged into is what its file has, unless it was rounded to fp8."""
        changed_since = [name for name in names if name in self._merged or name in self._fp8]
        plain = ((name, self._weight(name)) for name in names if name not in changed_since)
        again = self._stored(changed_since)
        read = {path for name in names for _, (path, _) in patches.get(name, ())}
        files = {path: safe_open(path, framework="pt") for path in read}
        for name, stored in chain(plain, again):
            weight = stored.detach().to(self._device).float()
            for patch, (path, strength) in patches.get(name, ()):
                parts = {role: part.to(self._device) for role, part in _parts(files[path], patch).items()}
                weight = changed(weight, parts, strength, patch.scale)
            self._put(name, weight.to(stored.dtype), as_stored=name not in patches)
            self._merged.pop(name, None)
            if name in patches:
                self._merged[name] = patches[name]

    def _put(self, name: str, weight: Tensor, as_stored: bool) -> None:
        if name in self._fp8:
            self._fp8[name].take(weight, as_stored)
        else:
            self._weight(name).copy_(weight)

    def _weight(self, name: str) -> Tensor:
        """What the module has now: where a model is too large for its device, others come and go."""
        places, key = self._kept[name]
        found = places[key]
        assert found is not None
        return found


NO_LORAS = MergedLoras(None, (), lambda path, _: OpenLora(path, ()), lambda _: iter(()))


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


def _misfit(place: str, path: Path, rule: str) -> Problem:
    return Problem(
        place=place,
        value=path.name,
        rule=rule,
        remedy="name a LoRA that was trained for this model, or leave it out",
    )
