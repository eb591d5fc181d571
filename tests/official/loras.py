"""LoRA files of every kind, with random values, for a transformer of the LTX-Video layout."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import save_file
from torch import Tensor

RANK = 4
ALPHA = 2.0

Layers = Mapping[str, tuple[int, int]]
"""`(out, in)` of linear layers, by their original names."""
Tensors = dict[str, Tensor]
Draw = Callable[..., Tensor]
Make = Callable[[Layers, Draw], Tensors]


class Kind(NamedTuple):
    """How a kind of file is made, and who takes it: the rest is refused."""

    make: Make
    diffusers: bool = True
    comfyui: bool = True
    metadata: Mapping[str, str] = {}


def layers_of(width: int, cross: int, caption: int) -> dict[str, tuple[int, int]]:
    """One layer of each sort in a transformer of this width, those of blocks in the first two."""
    return {
        "transformer_blocks.0.attn1.to_q": (width, width),
        "transformer_blocks.0.attn2.to_k": (width, cross),
        "transformer_blocks.1.attn1.to_out.0": (width, width),
        "transformer_blocks.1.ff.net.0.proj": (4 * width, width),
        "transformer_blocks.1.ff.net.2": (width, 4 * width),
        "adaln_single.linear": (6 * width, width),
        "adaln_single.emb.timestep_embedder.linear_1": (width, 256),
        "patchify_proj": (width, 128),
        "proj_out": (128, width),
        "caption_projection.linear_1": (width, caption),
    }


def write_lora(path: Path, name: str, layers: Layers, dtype: torch.dtype = torch.float32) -> Path:
    """The file of the kind `name`."""
    generator = torch.Generator().manual_seed(sum(map(ord, name)))

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.1

    kind = KINDS[name]
    tensors = {key: tensor.to(dtype).contiguous() for key, tensor in kind.make(layers, draw).items()}
    save_file(tensors, path, dict(kind.metadata) or None)
    return path


def diffusers_name(layer: str) -> str:
    return layer.replace("patchify_proj", "proj_in").replace("adaln_single", "time_embed")


def _pairs(layer: Callable[[str], str], down: str, up: str, alpha: bool = False, rank: int = RANK) -> Make:
    """Two factors for each layer, named as given."""

    def make(layers: Layers, draw: Draw) -> Tensors:
        tensors: Tensors = {}
        for name, (out, into) in layers.items():
            tensors[layer(name) + down], tensors[layer(name) + up] = draw(rank, into), draw(out, rank)
            if alpha:
                tensors[f"{layer(name)}.alpha"] = torch.tensor(ALPHA)
        return tensors

    return make


def _own(name: str) -> str:
    return f"diffusion_model.{name}"


def _kohya(name: str) -> str:
    return f"lora_unet_{name.replace('.', '_')}"


_AB = _pairs(_own, ".lora_A.weight", ".lora_B.weight")


def _ranks(layers: Layers, draw: Draw) -> Tensors:
    """A rank of its own for every layer, each with an alpha."""
    tensors: Tensors = {}
    for index, (name, (out, into)) in enumerate(layers.items()):
        rank = 1 + index % 5
        tensors[f"{_own(name)}.lora_A.weight"] = draw(rank, into)
        tensors[f"{_own(name)}.lora_B.weight"] = draw(out, rank)
        tensors[f"{_own(name)}.alpha"] = torch.tensor(ALPHA + index)
    return tensors


def _with(ending: str, shape: Callable[[int, int], tuple[int, ...]], base: Make = _AB) -> Make:
    """`base`, and one tensor more for each layer."""

    def make(layers: Layers, draw: Draw) -> Tensors:
        more = {_own(name) + ending: draw(*shape(*size)) for name, size in layers.items()}
        return base(layers, draw) | more

    return make


def _nothing(_layers: Layers, _draw: Draw) -> Tensors:
    return {}


def _dora(column: bool) -> Make:
    def make(layers: Layers, draw: Draw) -> Tensors:
        scales = {
            f"{_own(name)}.dora_scale": draw(*((1, into) if column else (out, 1))).abs() + 0.5
            for name, (out, into) in layers.items()
            if out != 1
        }
        return _pairs(_own, ".lora_A.weight", ".lora_B.weight", alpha=True)(layers, draw) | scales

    return make


def _lokr(first: bool, second: bool, alpha: bool) -> Make:
    """Kronecker products; `first` and `second` say which side is itself a product of two factors."""

    def make(layers: Layers, draw: Draw) -> Tensors:
        tensors: Tensors = {}
        for name, (out, into) in layers.items():
            for number, size, split in ((1, (4, 4), first), (2, (out // 4, into // 4), second)):
                key = f"{_own(name)}.lokr_w{number}"
                if split:
                    tensors |= {f"{key}_a": draw(size[0], 2), f"{key}_b": draw(2, size[1])}
                else:
                    tensors[key] = draw(*size)
            if alpha:
                tensors[f"{_own(name)}.alpha"] = torch.tensor(ALPHA)
        return tensors

    return make


def _loha(layers: Layers, draw: Draw) -> Tensors:
    tensors: Tensors = {}
    for name, (out, into) in layers.items():
        for number in (1, 2):
            tensors[f"{_own(name)}.hada_w{number}_a"] = draw(out, RANK)
            tensors[f"{_own(name)}.hada_w{number}_b"] = draw(RANK, into)
        tensors[f"{_own(name)}.alpha"] = torch.tensor(ALPHA)
    return tensors


def _glora(layers: Layers, draw: Draw) -> Tensors:
    name, (out, into) = next(iter(layers.items()))
    shapes = {"a1": (into, RANK), "a2": (RANK, into), "b1": (out, RANK), "b2": (RANK, into)}
    return {f"{_own(name)}.{part}.weight": draw(*shape) for part, shape in shapes.items()}


def _oft(layers: Layers, draw: Draw) -> Tensors:
    name, (out, _) = next(iter(layers.items()))
    return {f"{_own(name)}.oft_blocks": draw(out // 4, 4, 4)}


def _table(layers: Layers, draw: Draw) -> Tensors:
    """A change of a parameter that belongs to no layer."""
    width = layers["patchify_proj"][0]
    return {"diffusion_model.scale_shift_table.diff": draw(2, width)}


def _text_beside(layers: Layers, draw: Draw) -> Tensors:
    names = ("lora_te1_encoder_block_0.lora_down.weight", "text_encoder.block.0.lora_A.weight")
    return _AB(layers, draw) | {name: draw(RANK, 8) for name in names}


def _one_unknown(layers: Layers, draw: Draw) -> Tensors:
    return _AB(layers, draw) | _AB({"audio_attn.to_q": (8, 8)}, draw)


def _half(layers: Layers, draw: Draw) -> Tensors:
    tensors = _AB(layers, draw)
    del tensors[f"{_own('proj_out')}.lora_B.weight"]
    return tensors


def _another_model(_layers: Layers, draw: Draw) -> Tensors:
    return _AB({"double_blocks.0.img_attn.qkv": (24, 8)}, draw)


def _wider(layers: Layers, draw: Draw) -> Tensors:
    return _AB({name: (2 * out, 2 * into) for name, (out, into) in layers.items()}, draw)


KINDS: dict[str, Kind] = {
    "A and B": Kind(_AB),
    "down and up with alpha": Kind(_pairs(_own, ".lora_down.weight", ".lora_up.weight", alpha=True)),
    "without prefix": Kind(_pairs(str, ".lora_A.weight", ".lora_B.weight")),
    "kohya": Kind(_pairs(_kohya, ".lora_down.weight", ".lora_up.weight", alpha=True)),
    "diffusers": Kind(
        _pairs(lambda name: f"transformer.{diffusers_name(name)}", ".lora_A.weight", ".lora_B.weight")
    ),
    "peft": Kind(
        _pairs(
            lambda name: f"base_model.model.{diffusers_name(name)}",
            ".lora_A.default.weight",
            ".lora_B.default.weight",
        )
    ),
    "ranks and alphas by layer": Kind(_ranks),
    "A, B and diff_b": Kind(_with(".diff_b", lambda out, _: (out,))),
    "diff": Kind(_with(".diff", lambda out, into: (out, into), _nothing)),
    "diff and diff_b": Kind(
        _with(".diff_b", lambda out, _: (out,), _with(".diff", lambda out, into: (out, into), _nothing))
    ),
    "set_weight": Kind(_with(".set_weight", lambda out, into: (out, into), _nothing)),
    "diff of a table": Kind(_table),
    "DoRA by rows": Kind(_dora(column=False)),
    "DoRA by columns": Kind(_dora(column=True)),
    "LoKr": Kind(_lokr(first=False, second=False, alpha=True)),
    "LoKr in factors": Kind(_lokr(first=False, second=True, alpha=True)),
    "LoKr all in factors": Kind(_lokr(first=True, second=True, alpha=False)),
    "LoHa": Kind(_loha),
    "beside keys for a text encoder": Kind(_text_beside),
    "GLoRA": Kind(_glora, diffusers=False),
    "OFT": Kind(_oft, diffusers=False),
    "PEFT's DoRA": Kind(
        _with(".lora_magnitude_vector", lambda out, _: (out,)), diffusers=False, comfyui=False
    ),
    "one layer too many": Kind(_one_unknown, diffusers=False, comfyui=False),
    "half a pair": Kind(_half, diffusers=False, comfyui=False),
    "of another model": Kind(_another_model, diffusers=False, comfyui=False),
    "of a wider model": Kind(_wider, diffusers=False, comfyui=False),
}


ADAPTER = {"lora_adapter_metadata": json.dumps({"transformer.r": RANK, "transformer.lora_alpha": 8})}
