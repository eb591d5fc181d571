"""Text encoders as transformers loads them, complete or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.diffusers.checkpoint import listed, verb
from jobs.errors import Problem, SpecError
from jobs.rules.files import pickled_weights

if TYPE_CHECKING:
    import torch

UNREAD = ("vision", "audio", "multi_modal")
"""Parts of a Gemma that prompts do not meet; a folder may leave them out."""


def load_encoder(kind: Any, weights: Path, dtype: torch.dtype) -> Any:
    """The module that `kind` makes of the folder `weights`, in eval mode.

    Raises SpecError where there are none, as when the folder went after it had been loaded once, where they
    are pickled, and where some that read prompts are missing: transformers warns, draws them at random, and
    prompts would mean nothing.
    """
    if pickled := pickled_weights(weights):
        rule, remedy = "weights as .safetensors: pickled files can run code", "convert them"
        raise SpecError([Problem("engine.text_encoder", str(pickled), rule, remedy)])
    if not any(weights.glob("*.safetensors")):
        rule, remedy = "a folder with the weights of a text encoder", "put it back, or name another"
        raise SpecError([Problem("engine.text_encoder", str(weights), rule, remedy)])
    module, found = kind.from_pretrained(
        weights, dtype=dtype, use_safetensors=True, trust_remote_code=False, output_loading_info=True
    )
    missing = sorted(name for name in found["missing_keys"] if not any(part in name for part in UNREAD))
    if missing:
        rule = f"a folder with every weight of the encoder: {listed(missing)} {verb(missing)} missing"
        raise SpecError([Problem("engine.text_encoder", str(weights), rule, "download the folder again")])
    return module.eval().requires_grad_(False)
