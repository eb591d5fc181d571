"""Text encoders as transformers loads them, complete or not at all."""

from __future__ import annotations

import errno
import json
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
    are pickled, where a file is missing or damaged, and where weights that read prompts are missing or of
    another shape: transformers warns, draws these at random, and prompts would mean nothing.
    """
    from safetensors import SafetensorError

    if pickled := pickled_weights(weights):
        rule, remedy = "weights as .safetensors: pickled files can run code", "convert them"
        raise SpecError([Problem("engine.text_encoder", str(pickled), rule, remedy)])
    if not any(weights.glob("*.safetensors")):
        rule, remedy = "a folder with the weights of a text encoder", "put it back, or name another"
        raise SpecError([Problem("engine.text_encoder", str(weights), rule, remedy)])
    if not (weights / "config.json").is_file():
        raise _incomplete(weights, "config.json is missing")
    try:
        module, found = kind.from_pretrained(
            weights,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
        )
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        if getattr(error, "errno", None) not in (None, errno.ENOENT):
            raise  # the storage failed, and may be back
        raise _incomplete(weights, str(error).partition("\n")[0].rstrip(".")) from error
    if missing := sorted(name for name in found["missing_keys"] if _is_read(name)):
        raise _incomplete(weights, f"{listed(missing)} {verb(missing)} missing")
    if unlike := sorted(name for name, *_ in found["mismatched_keys"] if _is_read(name)):
        raise _incomplete(weights, f"{listed(unlike)} {verb(unlike)} of another shape than its config says")
    return module.eval().requires_grad_(False)


def _is_read(name: str) -> bool:
    return not any(part in name for part in UNREAD)


def _incomplete(weights: Path, what: str) -> SpecError:
    rule = f"a folder with every weight of the encoder: {what}"
    return SpecError([Problem("engine.text_encoder", str(weights), rule, "download the folder again")])
