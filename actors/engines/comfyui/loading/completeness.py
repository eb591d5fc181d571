"""Models are whole: core only logs what a file lacks or has too much, and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jobs.errors import CannotRun
from jobs.weights.describe import describe_weights, transformer_prefix, vae_prefix, vae_version
from jobs.weights.header import SAFE, Weights, read_weights
from jobs.weights.numbers import declared_formats, is_note

MOST_NAMED = 3
NEWER = (".weight_scale", ".comfy_quant")
"""What stands beside quantised weights since 0.8."""
UNUSED_STATISTICS = tuple(
    f"per_channel_statistics.{name}" for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means")
)
"""What published VAEs hold, and not every core has a place for."""


def require_whole_transformer(model: Any, path: Path) -> None:
    """Raises CannotRun unless the LTX-Video transformer in `path` has each tensor of MODEL, and no other.

    Files of LTX-2 are left to core, which renames some of their tensors; pickles have no header.
    """
    weights = _of_ltx_video(path)
    prefix = transformer_prefix(weights) if weights else None
    if weights and prefix is not None:
        _require(path, weights.below(prefix), model.model.diffusion_model.state_dict())


def require_whole_vae(vae: Any, path: Path) -> None:
    """As `require_whole_transformer`, of the video VAE of LTX-Video."""
    weights = _of_ltx_video(path)
    prefix = vae_prefix(weights) if weights else None
    if weights and prefix is not None and vae_version(weights.below(prefix)):
        _require(path, weights.below(prefix), vae.first_stage_model.state_dict())


def require_old_scales(path: Path) -> None:
    """For cores that do not know the newer layout of quantised weights, and would compute without its scales.
    Raises CannotRun for such a file."""
    if path.suffix.lower() not in SAFE:
        return
    weights = read_weights(path)
    if declared_formats(weights) or any(name.endswith(NEWER) for name in weights.tensors):
        raise CannotRun(
            f"{path.name} has quantised weights, whose scales this ComfyUI passes over: use ComfyUI 0.8 or "
            "later, or the file in 16 bits."
        )


def _of_ltx_video(path: Path) -> Weights | None:
    if path.suffix.lower() not in SAFE:
        return None
    weights = read_weights(path)
    return weights if describe_weights(weights).family == "ltx-video" else None


def _require(path: Path, stored: Iterable[str], wanted: Iterable[str]) -> None:
    found, needed = _names(stored), _names(wanted)
    _refuse(path, sorted(needed - found), "missing")
    _refuse(path, sorted(found - needed), "no part of this model")


def _names(tensors: Iterable[str]) -> set[str]:
    return {name for name in tensors if name not in UNUSED_STATISTICS and not is_note(name)}


def _refuse(path: Path, names: list[str], what: str) -> None:
    if names:
        verb = "are" if len(names) > 1 else "is"
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        listed = ", ".join(names[:MOST_NAMED]) + more
        raise CannotRun(f"{path.name}: {listed} {verb} {what}: use the file as its publisher released it.")
