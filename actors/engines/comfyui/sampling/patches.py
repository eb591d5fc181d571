"""What is put on a clone of the user's model before sampling; the model itself, its LoRAs and hooks stay."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.sampling.attention import AttentionMode, patch_attention

if TYPE_CHECKING:
    import torch

log = logging.getLogger("ltx-farm")

CFG_BATCH = "sampler_calc_cond_batch_function"
FEED_FORWARDS = ("ff", "audio_ff")


@dataclass(frozen=True, slots=True)
class Efficiency:
    """`ffn_chunks`: 0 or 1 is off, otherwise the number of pieces the feed-forward input is cut into."""

    attention_mode: AttentionMode = "auto"
    ffn_chunks: int = 0


def patched(model: Any, efficiency: Efficiency, tokens: int) -> Any:
    """A clone of the model patcher, ready to sample a clip of `tokens` tokens."""
    clone = model.clone()
    patch_attention(clone, efficiency.attention_mode, tokens)
    patch_feed_forward(clone, efficiency.ffn_chunks)
    patch_cfg(clone)
    return clone


def patch_feed_forward(model: Any, chunks: int) -> None:
    """Compute every feed-forward in `chunks` pieces along the tokens: lower peak memory, the same result
    within rounding."""
    if chunks <= 1:
        return
    blocks = getattr(model.model.diffusion_model, "transformer_blocks", ())
    targets = [
        (f"diffusion_model.transformer_blocks.{i}.{name}.forward", getattr(block, name))
        for i, block in enumerate(blocks)
        for name in FEED_FORWARDS
        if hasattr(getattr(block, name, None), "net")
    ]
    if not targets:
        log.warning("ffn_chunks has no effect: this model is no LTX transformer.")
    for path, feed_forward in targets:
        # What the user has put there is called for each piece; a captured `forward` would be itself.
        run = model.object_patches.get(path, feed_forward.net)
        model.add_object_patch(path, chunked(run, chunks))


def chunked(
    run: Callable[[torch.Tensor], torch.Tensor], chunks: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """A `forward` for `[B, tokens, dim]` that calls `run` for each piece."""

    def forward(x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor | None = None
        start = 0
        for piece in x.chunk(chunks, dim=1):
            part = run(piece)
            if out is None:
                out = part.new_empty((*x.shape[:2], part.shape[-1]))
            out[:, start : start + piece.shape[1]] = part
            start += piece.shape[1]
        return run(x) if out is None else out

    return forward


def patch_cfg(model: Any) -> None:
    """Evaluate each conditioning by itself.

    Core batches them when enough memory happens to be free, and a batch of two need not give the bits of two
    batches of one: the film would depend on what else is loaded.
    """
    model.model_options.setdefault(CFG_BATCH, _one_by_one)


def _one_by_one(args: dict[str, Any]) -> list[torch.Tensor]:
    from comfy.samplers import calc_cond_batch

    def evaluate(cond: Any) -> torch.Tensor:
        return calc_cond_batch(args["model"], [cond], args["input"], args["sigma"], args["model_options"])[0]

    return [evaluate(cond) for cond in args["conds"]]
