"""A first LTX-2 transformer out of a tiny LTX-Video model: its picture stream as that model had it, its sound
stream untrained.

What differs between the families is undone on the weights. The rope turns halves of a head instead of
neighbouring channels: the rows of queries and keys are reordered. Attention to the words reads a normalised
picture, and words that come from one projection: keys and values are fitted to it over the grammar. The two
layers that LTX-Video could best do without are left out.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from safetensors import safe_open

from actors.engines.diffusers.ltx_video.names import TRANSFORMER_NAMES, rename
from tools.train_tiny.modules import (
    HEAD_DIM,
    HEADS,
    WIDTH,
    new_connectors,
    new_text_encoder,
    new_transformer,
)
from tools.train_tiny.procedural.prompts import UNNAMED, continuation, sentence, tokenizer
from tools.train_tiny.procedural.world import BACKGROUNDS, COLOURS, SHAPES
from tools.train_tiny.training import State, save

if TYPE_CHECKING:
    from actors.models.tiny_text import TinyTextEncoder

KEPT = (0, 2, 4, 5, 7)
"""Layers of the LTX-Video model that stay: little is lost without the others, on clips of the world."""
SENTENCES = 1500
_SAME = (
    "attn1.to_v.weight",
    "attn1.to_v.bias",
    "attn1.to_out.0.weight",
    "attn1.to_out.0.bias",
    "attn2.to_q.weight",
    "attn2.to_q.bias",
    "attn2.to_out.0.weight",
    "attn2.to_out.0.bias",
    "attn2.norm_q.weight",
    "attn2.norm_k.weight",
    "ff.net.0.proj.weight",
    "ff.net.0.proj.bias",
    "ff.net.2.weight",
    "ff.net.2.bias",
)


def inherit(path: Path, folder: Path) -> None:
    """Write transformer, text encoder and connectors to `folder`, from the LTX-Video file at `path`."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    old = rename(_under(tensors, "model.diffusion_model."), TRANSFORMER_NAMES)
    text = new_text_encoder()
    text.load_state_dict(_under(tensors, "text_encoder."))
    connectors = new_connectors()
    torch.manual_seed(0)
    torch.nn.init.orthogonal_(connectors.video_text_proj_in.weight)
    torch.nn.init.zeros_(connectors.video_text_proj_in.bias)
    before, after = _words(text, connectors, old)
    transformer = new_transformer().state_dict()
    transformer |= _picture(old, before, after, transformer)
    save(
        folder,
        {
            "transformer": transformer,
            "text_encoder": text.state_dict(),
            "connectors": connectors.state_dict(),
        },
    )


def _under(tensors: State, prefix: str) -> State:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


@torch.no_grad()
def _words(
    text: TinyTextEncoder, connectors: torch.nn.Module, old: State
) -> tuple[torch.Tensor, torch.Tensor]:
    """The words of many sentences [N, WIDTH] as LTX-Video's layers saw them, and as LTX-2's will."""
    rng, reader = random.Random(0), tokenizer()
    sizes = (len(COLOURS), len(SHAPES), len(BACKGROUNDS), UNNAMED + 1)
    rows = [""]
    for _ in range(SENTENCES):
        colour, shape, background, direction = (rng.randrange(size) for size in sizes)
        write = sentence if rng.random() < 0.8 else continuation
        rows.append(write((colour, shape, background, direction), rng))
    states, mask = text(torch.tensor(reader.batch(rows)))
    after = connectors(states, mask.long())[0][mask]
    hidden = F.linear(
        states[mask], old["caption_projection.linear_1.weight"], old["caption_projection.linear_1.bias"]
    )
    hidden = F.gelu(hidden, approximate="tanh")
    before = F.linear(
        hidden, old["caption_projection.linear_2.weight"], old["caption_projection.linear_2.bias"]
    )
    return before, after


def _picture(old: State, before: torch.Tensor, after: torch.Tensor, new: State) -> State:
    """The picture stream's weights."""
    same = ("proj_in.", "proj_out.", "time_embed.emb.")
    state = {name: value for name, value in old.items() if name.startswith(same)}
    state["scale_shift_table"] = old["scale_shift_table"]
    for part in ("weight", "bias"):
        grown = torch.zeros_like(new[f"time_embed.linear.{part}"])
        grown[: 6 * WIDTH] = old[f"time_embed.linear.{part}"]
        state[f"time_embed.linear.{part}"] = grown
    for to, layer in enumerate(KEPT):
        block = _under(old, f"transformer_blocks.{layer}.")
        state |= {f"transformer_blocks.{to}.{n}": v for n, v in _block(block, before, after).items()}
    return state


def _block(block: State, before: torch.Tensor, after: torch.Tensor) -> State:
    """One layer: as it was, but for the order of rotated channels and for what reads the words."""
    state = {name: block[name] for name in _SAME}
    order = _halves_first()
    for name in ("to_q.weight", "to_q.bias", "to_k.weight", "to_k.bias", "norm_q.weight", "norm_k.weight"):
        state[f"attn1.{name}"] = block[f"attn1.{name}"][order]
    still = torch.zeros(3, WIDTH)
    still[2] = 1.0
    state["scale_shift_table"] = torch.cat([block["scale_shift_table"], still])
    state["prompt_scale_shift_table"] = torch.zeros(2, WIDTH)
    ones = torch.ones(len(after), 1)
    for name in ("to_k", "to_v"):
        wanted = F.linear(before, block[f"attn2.{name}.weight"], block[f"attn2.{name}.bias"])
        fit = torch.linalg.lstsq(torch.cat([after, ones], 1), wanted, driver="gelsd").solution
        state[f"attn2.{name}.weight"], state[f"attn2.{name}.bias"] = fit[:-1].T, fit[-1]
    return state


def _halves_first() -> torch.Tensor:
    """Channel order that puts the even channels of each head before its odd ones."""
    head = torch.arange(HEAD_DIM).view(-1, 2).T.flatten()
    return (torch.arange(HEADS)[:, None] * HEAD_DIM + head).flatten()
