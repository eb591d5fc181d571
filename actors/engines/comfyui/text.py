"""Prompts to conditioning, and conditioning to and from the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from actors.engines.comfyui.core.nodes import Core
from actors.payload import Payload, from_torch, to_torch
from jobs.errors import CannotRun

if TYPE_CHECKING:
    import torch

    from actors.engines.comfyui.sampling.guides import Conditioning, Pair

MASK = "attention_mask"
SIDES = ("positive", "negative")


class TextEncoder(Protocol):
    """Anything that turns one prompt into CONDITIONING."""

    def conditioning(self, prompt: str) -> Conditioning: ...


@dataclass(frozen=True)
class ClipText:
    """A text encoder that ComfyUI loads: its CLIP object."""

    core: Core
    clip: Any

    def conditioning(self, prompt: str) -> Conditioning:
        """Raises CannotRun where the encoder gives nothing: a model would be sampled without words."""
        made = self.core.call("CLIPTextEncode", clip=self.clip, text=prompt)[0]
        if not made[0][0].any():
            raise CannotRun(
                "the text encoder gives embeddings of zeros: weights of it are missing from the files of "
                "engine.text_encoder; download them again, or use a file that includes them."
            )
        return made


def pack_pair(pair: Pair) -> Payload:
    """One entry per side: the embeddings, their mask, and plain options such as LTX-2's as metadata."""
    tensors: dict[str, torch.Tensor] = {}
    notes: dict[str, str] = {}
    for side, conditioning in zip(SIDES, pair, strict=True):
        embeddings, options = conditioning[0]
        tensors[side] = embeddings
        if options.get(MASK) is not None:
            tensors[f"{side}_mask"] = options[MASK]
        plain = {key: value for key, value in options.items() if isinstance(value, bool | int | float | str)}
        if plain:
            notes[f"{side}_options"] = json.dumps(plain, sort_keys=True)
    return from_torch(tensors, notes)


def unpack_pair(payload: Payload) -> Pair:
    """The conditioning that `pack_pair` stored."""
    positive, negative = (_unpack(payload, side) for side in SIDES)
    return positive, negative


def _unpack(payload: Payload, side: str) -> Conditioning:
    options: dict[str, Any] = json.loads(payload.meta.get(f"{side}_options", "{}"))
    if f"{side}_mask" in payload:
        options[MASK] = to_torch(payload, f"{side}_mask")
    return [[to_torch(payload, side), options]]
