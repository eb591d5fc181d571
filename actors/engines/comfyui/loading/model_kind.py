"""What a model is, and what its file asks of a core, from its header."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.weights.describe import describe
from jobs.weights.safetensors_header import read_header

SAFE_SUFFIXES = (".safetensors", ".sft")
AUDIO_KEY = "audio_adaln_single.linear.weight"


def is_audio_video(path: Path) -> bool:
    """Whether the file holds an LTX-2 transformer."""
    if path.suffix not in SAFE_SUFFIXES:
        return False
    return any(name.endswith(AUDIO_KEY) for name in read_header(path))


def model_features(path: Path) -> tuple[str, ...]:
    """The features, by their names in the requirements, that a transformer of this kind needs."""
    if not is_audio_video(path):
        return ()
    return ("ltx-2", "ltx-2.5") if describe(path).version >= "2.5" else ("ltx-2",)


def hears(model: Any) -> bool:
    """Whether a MODEL has an audio side: LTX-2's transformer."""
    return hasattr(model.model.diffusion_model, "audio_inner_dim")
