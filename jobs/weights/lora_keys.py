"""The keys of LoRA files: which tensor of the model each one changes, and which of them fit none."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.weights.header import Tensor, Weights

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
"""What a key holds, by its ending: those of ComfyUI's core and of PEFT that change linear layers."""
CORE_ENDINGS = (
    ".lora_mid.weight",
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
"""Of kinds that ComfyUI's core merges and the diffusers engine does not: convolutions, GLoRA and OFT."""
OTHER_ENDINGS = (
    ".lora_magnitude_vector",
    ".lora_magnitude_vector.weight",
    ".lora_magnitude_vector.default.weight",
    ".lora_B.bias",
)
"""Of kinds that neither merges: PEFT's DoRA and its biases."""
PREFIXES = (
    "base_model.model.",
    "transformer.",
    "model.diffusion_model.",
    "diffusion_model.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
)
TEXT_PREFIXES = ("text_encoder", "text_encoders.", "lora_te", "conditioner.", "te.")
"""Keys for a text encoder: published encoders of LTX-Video are used as they are."""
ORIGINAL_NAMES = (
    ("proj_in", "patchify_proj"),
    ("time_embed", "adaln_single"),
    ("norm_q", "q_norm"),
    ("norm_k", "k_norm"),
)
"""Names of diffusers, and what the original files call them."""
KINDS = (
    frozenset({"down", "up"}),
    frozenset({"hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"}),
    *(
        frozenset({*first, *second})
        for first in (("lokr_w1",), ("lokr_w1_a", "lokr_w1_b"))
        for second in (("lokr_w2",), ("lokr_w2_a", "lokr_w2_b"))
    ),
    frozenset({"diff"}),
    frozenset({"set"}),
)
"""The complete sets of keys that change a weight; `alpha` and `dora_scale` may stand beside the adapters."""
SCALES = frozenset({"alpha", "dora_scale"})
ADAPTER_METADATA = "lora_adapter_metadata"
"""PEFT's config, as diffusers writes it into the metadata."""


@dataclass(frozen=True)
class Patch:
    """What a LoRA does to one tensor of the model.

    `target` is that tensor in the original names, `keys` the file's keys by what they hold, `scale` what the
    file declares as alpha over rank without an `alpha` key.
    """

    target: str
    keys: Mapping[str, str]
    scale: float = 1.0


@dataclass(frozen=True)
class LoraFit:
    """How the keys of a LoRA file fit a model."""

    patches: tuple[Patch, ...]
    for_text: tuple[str, ...]
    unmatched: tuple[str, ...]
    misshapen: str = ""

    @property
    def fault(self) -> str:
        """The rule that the file breaks; empty where it can be used."""
        if self.misshapen:
            return self.misshapen
        total = len(self.unmatched) + len(self.for_text) + sum(len(patch.keys) for patch in self.patches)
        left = self.unmatched or (() if self.patches else self.for_text)
        return unused_keys(total, left, bool(self.patches))


def unused_keys(total: int, left: Sequence[str], any_used: bool) -> str:
    """The rule that a file with `total` keys breaks whose keys `left` change nothing; empty where it has
    none."""
    if not left:
        return "" if any_used else "it holds no LoRA"
    if not any_used:
        return f"none of its {total} keys changes a layer of this model ({left[0]})"
    verb = "change" if len(left) > 1 else "changes"
    why = "no layer of this model, or in a way that is not known here"
    return f"{len(left)} of its {total} keys {verb} {why} ({left[0]})"


def is_lora(names: Iterable[str]) -> bool:
    """Whether a file with these tensors changes the weights of another."""
    endings = (*ENDINGS, *CORE_ENDINGS, *OTHER_ENDINGS)
    return any(name.endswith(endings) for name in names)


def original_name(name: str) -> str:
    """A tensor's or layer's name in the original files, from either naming."""
    for diffusers, original in ORIGINAL_NAMES:
        name = name.replace(diffusers, original)
    return name


def fit(lora: Weights, model: Mapping[str, Tensor]) -> LoraFit:
    """Which tensors of `model`, by their names without prefix, a LoRA file changes."""
    targets = {_flat(original_name(name.removesuffix(".weight"))): name for name in model}
    groups, unmatched = _grouped(lora.tensors)
    patches: list[Patch] = []
    for_text: list[str] = []
    for base, keys in groups.items():
        target = targets.get(_flat(layer_name(base)))
        if base.startswith(TEXT_PREFIXES):
            for_text += keys.values()
        elif target is None:
            unmatched += keys.values()
        else:
            found, rest = _patches(target, keys, _declared_scale(lora, base, keys))
            patches += found
            unmatched += rest
    known = {original_name(name): tensor for name, tensor in model.items()}
    for_text += [key for key in unmatched if key.startswith(TEXT_PREFIXES)]
    unmatched = [key for key in unmatched if not key.startswith(TEXT_PREFIXES)]
    misshapen = next(filter(None, (_misshapen(patch, lora.tensors, known) for patch in patches)), "")
    return LoraFit(tuple(patches), tuple(for_text), tuple(unmatched), misshapen)


def layer_name(base: str) -> str:
    """A key without ending -> the layer in the original names; kohya's stay flattened."""
    for prefix in PREFIXES:
        base = base.removeprefix(prefix)
    return original_name(base)


def _flat(name: str) -> str:
    return name.replace(".", "_")


def split_key(key: str) -> tuple[str, str]:
    """A key's layer and what it holds; the second is empty for an unknown ending."""
    for ending, role in _LONGEST_FIRST:
        if key.endswith(ending):
            return key[: -len(ending)], role
    return key, ""


_LONGEST_FIRST = sorted(ENDINGS.items(), key=lambda item: -len(item[0]))


def _grouped(keys: Iterable[str]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Keys by layer and role, and those of unknown endings."""
    groups: dict[str, dict[str, str]] = {}
    unknown: list[str] = []
    for key in keys:
        base, role = split_key(key)
        if role and role not in groups.get(base, {}):
            groups.setdefault(base, {})[role] = key
        else:
            unknown.append(key)
    return groups, unknown


def _patches(target: str, keys: Mapping[str, str], scale: float) -> tuple[list[Patch], list[str]]:
    """The changes that one layer's keys make, and the keys that are part of none."""
    rest = dict(keys)
    patches = []
    name = original_name(target)
    bias = rest.pop("diff_b", None)
    if bias is not None and name.endswith(".weight"):
        patches.append(Patch(name.removesuffix("weight") + "bias", {"diff": bias}))
    kind = frozenset(rest) - SCALES
    if kind in KINDS and (kind - {"diff", "set"} or not SCALES & rest.keys()):
        patches.insert(0, Patch(name, rest, scale))
        rest = {}
    return patches, list(rest.values())


def _declared_scale(lora: Weights, base: str, keys: Mapping[str, str]) -> float:
    """Alpha over rank as PEFT's config in the metadata has it, where no key of the layer says otherwise."""
    if "alpha" in keys or "down" not in keys:
        return 1.0
    config = _adapter_config(lora)
    rank = next(iter(lora.tensors[keys["down"]].shape), 0)
    patterns = config.get("alpha_pattern")
    by_layer = patterns.items() if isinstance(patterns, dict) else ()
    alpha = next((a for end, a in by_layer if base.endswith(end)), config.get("lora_alpha"))
    if not isinstance(alpha, int | float) or not rank:
        return 1.0
    return alpha / (rank**0.5 if config.get("use_rslora") else rank)


def _adapter_config(lora: Weights) -> dict[str, Any]:
    """The transformer's part of the config; diffusers puts the component's name before each entry."""
    try:
        config = json.loads(lora.metadata.get(ADAPTER_METADATA, "{}"))
    except (ValueError, RecursionError):
        return {}
    found = config.items() if isinstance(config, dict) else ()
    return {name.removeprefix("transformer."): value for name, value in found}


def _misshapen(patch: Patch, lora: Mapping[str, Tensor], model: Mapping[str, Tensor]) -> str:
    """What does not fit in a change's shape, empty where all does."""
    if patch.target not in model:
        return f"{next(iter(patch.keys.values()))} changes {patch.target}, which this model does not have"
    shapes = {role: lora[key].shape for role, key in patch.keys.items()}
    found, wanted = _shape_of(shapes), model[patch.target].shape
    if found == wanted:
        return ""
    key = next(iter(patch.keys.values()))
    return f"{key} is for a weight of {_said(found)}, and {patch.target} is {_said(wanted)}"


def _said(shape: tuple[int, ...] | None) -> str:
    return "no one shape" if shape is None else str(list(shape))


def _shape_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, ...] | None:
    """The shape of the weight that a change is for; None where its parts do not fit each other."""
    for whole in ("diff", "set"):
        if whole in shapes:
            return shapes[whole]
    if "up" in shapes:
        return _product(shapes["up"], shapes["down"])
    if "hada_w1_a" in shapes:
        first, second = (_product(shapes[f"hada_w{n}_a"], shapes[f"hada_w{n}_b"]) for n in (1, 2))
        return first if first == second else None
    sides = [
        shapes[f"lokr_w{n}"]
        if f"lokr_w{n}" in shapes
        else _product(shapes[f"lokr_w{n}_a"], shapes[f"lokr_w{n}_b"])
        for n in (1, 2)
    ]
    if any(side is None or len(side) != 2 for side in sides):
        return None
    return tuple(a * b for a, b in zip(*sides, strict=True))


def _product(left: tuple[int, ...], right: tuple[int, ...]) -> tuple[int, ...] | None:
    """The shape of a matrix product; trailing ones are those of a convolution of one value."""
    a, b = (shape[:2] if all(n == 1 for n in shape[2:]) else shape for shape in (left, right))
    return (a[0], b[1]) if len(a) == len(b) == 2 and a[1] == b[0] > 0 else None
