"""The keys of LoRA files: which layer each one belongs to, and which of them a model has no layer for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

ENDINGS: Mapping[str, str] = {
    ".lora_down.weight": "down",
    ".lora_up.weight": "up",
    ".lora_A.weight": "down",
    ".lora_B.weight": "up",
    ".lora_A.default.weight": "down",
    ".lora_B.default.weight": "up",
    ".lora.down.weight": "down",
    ".lora.up.weight": "up",
    "_lora.down.weight": "down",
    "_lora.up.weight": "up",
    ".lora_linear_layer.down.weight": "down",
    ".lora_linear_layer.up.weight": "up",
    ".lora_A": "down",
    ".lora_B": "up",
    ".alpha": "alpha",
    ".dora_scale": "dora_scale",
    ".diff": "diff",
    ".diff_b": "diff_b",
    ".set_weight": "set",
    ".hada_w1_a": "hada_w1_a",
    ".hada_w1_b": "hada_w1_b",
    ".hada_w2_a": "hada_w2_a",
    ".hada_w2_b": "hada_w2_b",
    ".lokr_w1": "lokr_w1",
    ".lokr_w1_a": "lokr_w1_a",
    ".lokr_w1_b": "lokr_w1_b",
    ".lokr_w2": "lokr_w2",
    ".lokr_w2_a": "lokr_w2_a",
    ".lokr_w2_b": "lokr_w2_b",
}
"""Endings by what they hold, those of ComfyUI's core and of PEFT."""
OTHER_ENDINGS = (
    ".lora_mid.weight",
    ".lora_magnitude_vector",
    ".lora_magnitude_vector.weight",
    ".lora_magnitude_vector.default.weight",
    ".lora_B.bias",
    ".reshape_weight",
    ".w_norm",
    ".b_norm",
    ".hada_t1",
    ".hada_t2",
    ".lokr_t2",
    ".a1.weight",
    ".a2.weight",
    ".b1.weight",
    ".b2.weight",
    ".oft_blocks",
    ".rescale",
)
"""Kinds that the diffusers engine does not merge: of convolutions, PEFT's DoRA, GLoRA and OFT."""


def is_lora(names: Iterable[str]) -> bool:
    """Whether a file with these tensors changes the weights of another."""
    endings = (*ENDINGS, *OTHER_ENDINGS)
    return any(name.endswith(endings) for name in names)
