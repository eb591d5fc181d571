"""How a transformer counts frames: from 0.9.5 on the first latent of a clip is one, before it was eight."""

from __future__ import annotations

from pathlib import Path

from jobs.weights.describe import describe
from jobs.weights.header import read_weights

CAUSAL_SINCE = "0.9.5"


def counts_causally(transformer: Path, vae: Path | None) -> bool | None:
    """Whether the first latent is one frame to the model in the file `transformer`.

    Its metadata says it; else its family and size do, or the VAE that came with it, which is in the same file
    or in the file `vae`. None where nothing says it. Raises OSError, or WeightsFault for a damaged file.
    """
    config = read_weights(transformer).config.get("transformer")
    if config is not None:
        return bool(config.get("causal_temporal_positioning", False))
    found = describe(transformer)
    if found.family == "ltx-2" or found.size == "13b":
        return True
    if "vae" not in found.parts:
        found = describe(vae) if vae is not None else found
    return found.version >= CAUSAL_SINCE if "vae" in found.parts and found.version else None
