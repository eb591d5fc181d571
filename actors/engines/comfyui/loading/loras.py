"""LoRAs on a MODEL by core's own functions, which pass over a key that they do not know: here that is an
error."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs.errors import Problem, SpecError
from jobs.weights.header import Tensor, Weights
from jobs.weights.lora_keys import LoraFit, fit, split_key, unused_keys

log = logging.getLogger("ltx-farm")

MODEL = "diffusion_model."


class _Read(dict[str, Any]):
    """A LoRA's tensors that remember which of them were asked for."""

    def __init__(self, tensors: Mapping[str, Any]) -> None:
        super().__init__(tensors)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> Any:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


def add_lora(model: Any, path: Path, strength: float) -> Any:
    """A clone of MODEL with the patches of a LoRA file. Raises SpecError unless every key of the file changes
    the model, but for those of a text encoder."""
    import comfy.lora
    import comfy.lora_convert
    import comfy.utils

    tensors = comfy.utils.load_torch_file(str(path), safe_load=True)
    found = fit(Weights(_shapes(tensors)), _shapes(_own_state(model)))
    known = comfy.lora.model_lora_keys_unet(model.model, {})
    lora = _Read(comfy.lora_convert.convert_lora(_named_for_core(tensors, found, known)))
    patches = comfy.lora.load_lora(lora, known, log_missing=False)
    clone = model.clone()
    kept = set(clone.add_patches(patches, strength))
    left = [key for key in lora if key not in lora.read and key not in found.for_text]
    left += [str(key) for key in patches if key not in kept]
    fault = found.misshapen or unused_keys(len(tensors), left, bool(patches))
    if fault:
        raise SpecError([_misfit(path, fault)])
    if found.for_text:
        log.warning("LoRA %s: %d keys are for a text encoder, and not used", path.name, len(found.for_text))
    return clone


def _named_for_core(tensors: Mapping[str, Any], found: LoraFit, known: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors under core's own names, where core does not know those in the file, diffusers' and
    PEFT's."""
    named = dict(tensors)
    for patch in found.patches:
        for key in patch.keys.values():
            layer = split_key(key)[0]
            if layer not in known and key in named:
                target = MODEL + patch.target.removesuffix(".weight").removesuffix(".bias")
                named[target + key[len(layer) :]] = named.pop(key)
    return named


def _own_state(model: Any) -> dict[str, Any]:
    return dict(model.model.diffusion_model.state_dict())


def _shapes(tensors: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: Tensor(str(tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()}


def _misfit(path: Path, rule: str) -> Problem:
    return Problem(
        place="engine.loras",
        value=path.name,
        rule=rule,
        remedy="name a LoRA that was trained for this model, or leave it out",
    )
