"""A transformer is whole: core only logs what a file lacks or has too much, and goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.errors import CannotRun
from jobs.weights import read_weights
from jobs.weights.describe import describe_weights, transformer_prefix
from jobs.weights.header import SAFE
from jobs.weights.numbers import is_note

MOST_NAMED = 3


def require_whole(model: Any, path: Path) -> None:
    """Raises CannotRun unless the LTX-Video transformer in `path` has each tensor of MODEL, and no other.

    Files of LTX-2 are left to core, which renames some of their tensors; pickles have no header.
    """
    if path.suffix.lower() not in SAFE:
        return
    weights = read_weights(path)
    prefix = transformer_prefix(weights)
    if prefix is None or describe_weights(weights).family != "ltx-video":
        return
    stored = {name for name in weights.below(prefix) if not is_note(name)}
    wanted = {name for name in model.model.diffusion_model.state_dict() if not is_note(name)}
    if prefix:
        _refuse(path, sorted(stored - wanted), "no part of this model")
    _refuse(path, sorted(wanted - stored), "missing")


def _refuse(path: Path, names: list[str], what: str) -> None:
    if names:
        verb = "are" if len(names) > 1 else "is"
        more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
        listed = ", ".join(names[:MOST_NAMED]) + more
        raise CannotRun(f"{path.name}: {listed} {verb} {what}: use the file as its publisher released it.")
