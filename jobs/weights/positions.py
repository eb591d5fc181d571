"""How a transformer counts frames: from 0.9.5 on the first latent of a clip is one, before it was eight."""

from __future__ import annotations

from pathlib import Path

from jobs.weights.describe import describe, vae_prefix, vae_version
from jobs.weights.header import component_config, read_weights

CAUSAL_SINCE = "0.9.5"
CAUSAL_BLOCK = "LTXVideo095DownBlock3D"
VAE_CLASS = "AutoencoderKLLTXVideo"


def counts_causally(transformer: Path, vae: Path) -> bool | None:
    """Whether the first latent is one frame to the model whose transformer is in the file or folder
    `transformer`, and whose VAE is in `vae`, which may be the same.

    Its metadata says it; else its family and size do, or the VAE that came with it. None where nothing says
    it. Raises OSError, or WeightsFault for a damaged file.
    """
    config = read_weights(transformer).config.get("transformer")
    if isinstance(config, dict):
        return bool(config.get("causal_temporal_positioning", False))
    found = describe(transformer)
    if found.family == "ltx-2" or found.size == "13b":
        return True
    version = _vae_version(vae)
    return version >= CAUSAL_SINCE if version else None


def _vae_version(path: Path) -> str:
    """The first version with this VAE, empty where there is none."""
    if path.is_dir():
        config = component_config(path)
        if config.get("_class_name") != VAE_CLASS:
            return ""
        return CAUSAL_SINCE if CAUSAL_BLOCK in str(config.get("down_block_types")) else "0.9.0"
    weights = read_weights(path)
    return vae_version(weights.below(vae_prefix(weights) or ""))
