"""The parts of the bundled tiny model that core has no loader for: its text encoder and, inside the same
file, its latent upsampler."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from actors.models import TINY_CHECKPOINT
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import PromptRefused, TinyTokenizer
from jobs.errors import CannotRun, InvalidInput
from jobs.places import shown

TEXT_PREFIX = "text_encoder."
PROJECTION_PREFIX = "text_embedding_projection."
UPSAMPLER_PREFIX = "latent_upsampler."
EPSILON = 1e-6


def configs_of(path: Path) -> dict[str, Any]:
    """The component configs in a single-file checkpoint's metadata; empty where it has none."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        return json.loads((file.metadata() or {}).get("config", "{}"))


def tensors_of(path: Path, prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose names start with `prefix`, without it, as float32."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        return {name.removeprefix(prefix): file.get_tensor(name).float() for name in names}


class TinyText:
    """Tokenizer and encoder out of one checkpoint, on the CPU: it costs less than moving it."""

    def __init__(self, path: Path) -> None:
        config = configs_of(path)["text_encoder"]
        self.tokenizer = TinyTokenizer.from_config(config)
        self.encoder = TinyTextEncoder.from_config(config).eval()
        self.encoder.load_state_dict(tensors_of(path, TEXT_PREFIX))
        self.projections = _projections(path)

    def conditioning(self, prompt: str) -> list[Any]:
        """CONDITIONING of one prompt. Raises InvalidInput for a word the model does not know."""
        try:
            ids = torch.tensor(self.tokenizer.batch([prompt]))
        except PromptRefused as error:
            raise InvalidInput(f"prompt {shown(prompt)}: {error}") from error
        with torch.inference_mode():
            embeddings, mask = self.encoder(ids)
            if self.projections:
                embeddings = torch.cat([_projected(embeddings, *side) for side in self.projections], dim=-1)
        return [[embeddings, {"attention_mask": mask.long()}]]


def _projections(path: Path) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Weight and bias of LTX-2's projections, of the picture and of the sound; none in LTX-Video."""
    found = tensors_of(path, PROJECTION_PREFIX)
    sides = [f"{side}_aggregate_embed" for side in ("video", "audio")] if found else []
    return [(found[f"{side}.weight"], found[f"{side}.bias"]) for side in sides]


def _projected(states: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """What LTX-2.3's connectors make of states `[1, S, D]` where they have no layers: `[1, S, width]`. Core
    takes it as it is, since it is as wide as what the transformer reads."""
    width, dim = weight.shape
    scaled = F.rms_norm(states, (dim,), eps=EPSILON) * (width / dim) ** 0.5
    return F.rms_norm(F.linear(scaled, weight, bias), (width,), eps=EPSILON)


@lru_cache(maxsize=1)
def _bundled() -> TinyText:
    if not TINY_CHECKPOINT.is_file():
        raise CannotRun(f"The bundled tiny model is missing at {TINY_CHECKPOINT}: reinstall ltx-farm.")
    return TinyText(TINY_CHECKPOINT)


def tiny_conditioning(prompt: str) -> list[Any]:
    """CONDITIONING of one prompt for the bundled tiny model."""
    return _bundled().conditioning(prompt)


def has_own_text(path: Path) -> bool:
    """Whether the checkpoint carries a text encoder of the tiny kind."""
    return "text_encoder" in configs_of(path)


def write_own_upsampler(path: Path, target: Path) -> None:
    """The latent upsampler inside a checkpoint, as a file of its own that core's loader takes."""
    from safetensors.torch import save_file

    config = json.dumps(configs_of(path)["latent_upsampler"])
    save_file(tensors_of(path, UPSAMPLER_PREFIX), target, metadata={"config": config})
