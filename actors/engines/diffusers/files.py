"""Which model files an engine configuration means. Imports no torch: a job is planned without it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.models import TINY_CHECKPOINT
from jobs.errors import Problem, SpecError
from jobs.files import file_digest
from jobs.spec import EngineConfig

CAUSAL_BLOCK = "LTXVideo095DownBlock3D"
FOLDERS = ("transformer", "vae", "text_encoder", "tokenizer", "latent_upsampler")


@dataclass(frozen=True)
class ModelFiles:
    """Local paths. `checkpoint` is a single file or a diffusers folder; `None` means: not given.

    `text_encoder` is a folder with `text_encoder/` and `tokenizer/`, `loras` pairs of file and strength.
    """

    checkpoint: Path
    vae: Path | None
    text_encoder: Path | None
    upscale_model: Path | None
    loras: tuple[tuple[Path, float], ...]

    @property
    def is_single_file(self) -> bool:
        return self.checkpoint.is_file()

    def folder(self, component: str) -> Path:
        """Where a diffusers folder keeps `component`; the component itself may have been named instead."""
        below = self.checkpoint / component
        return below if below.is_dir() else self.checkpoint

    def digests(self) -> dict[str, dict[str, Any]]:
        """What reaches each stage's bytes, by stage name."""
        vae = self._digest("vae", self.vae)
        transformer = {
            "transformer": self._digest("transformer", None),
            "loras": [[file_digest(path), strength] for path, strength in self.loras],
        }
        text = [self._digest(name, self._text_part(name)) for name in ("text_encoder", "tokenizer")]
        upsampler = self.upscale_model or (self.checkpoint if self.is_single_file else None)
        return {
            "encode": {"text": text, "vae": vae},
            "sample": transformer,
            "upscale": {**transformer, "vae": vae, "upsampler": upsampler and file_digest(upsampler)},
            "decode": {"vae": vae},
        }

    def paths(self) -> tuple[Path, ...]:
        """Every file and folder that is read, absolute."""
        named = (
            self.checkpoint,
            self.vae,
            self.text_encoder,
            self.upscale_model,
            *(path for path, _ in self.loras),
        )
        return tuple(path.absolute() for path in named if path is not None)

    def counts_causally(self) -> bool:
        """Whether a diffusers folder holds a model (0.9.5 and later) whose first latent is one frame. The
        transformer's config does not say; the VAE that came with those models does."""
        config = self.folder("vae") / "config.json"
        if not config.is_file():
            return False
        return CAUSAL_BLOCK in json.loads(config.read_text()).get("down_block_types", ())

    def _text_part(self, name: str) -> Path | None:
        return self.text_encoder / name if self.text_encoder else None

    def _digest(self, component: str, own: Path | None) -> str | None:
        path = own or (self.checkpoint if self.is_single_file else self.checkpoint / component)
        return file_digest(path) if path.exists() else None


def find_files(config: EngineConfig) -> ModelFiles:
    """Resolve what `config` names: a path, or a hub id, whose files are downloaded once.

    Raises `SpecError` naming every entry that cannot be found.
    """
    problems: list[Problem] = []

    def found(place: str, name: str | None, folders: tuple[str, ...] = FOLDERS) -> Path | None:
        try:
            return _local(name, folders) if name else None
        except (OSError, ValueError) as error:
            problems.append(_missing(place, name or "", error))
            return None

    files = ModelFiles(
        checkpoint=found("engine.checkpoint", config.checkpoint) or TINY_CHECKPOINT,
        vae=found("engine.vae", config.vae, ("vae",)),
        text_encoder=found(
            "engine.text_encoder", next(iter(config.text_encoders), None), ("text_encoder", "tokenizer")
        ),
        upscale_model=found("engine.upscale_model", config.upscale_model, ("latent_upsampler",)),
        loras=tuple(
            (path, lora.strength)
            for index, lora in enumerate(config.loras)
            if (path := found(f"engine.loras[{index}].path", lora.path))
        ),
    )
    if problems:
        raise SpecError(problems)
    return files


def _local(name: str, folders: tuple[str, ...]) -> Path:
    path = Path(name)
    if path.exists():
        return path
    if name.count("/") != 1 or path.is_absolute() or name.startswith("."):
        raise FileNotFoundError(f"there is no file or folder {name}")
    from huggingface_hub import snapshot_download

    patterns = ["model_index.json", *(f"{folder}/*" for folder in folders)]
    return Path(snapshot_download(name, allow_patterns=patterns))


def _missing(place: str, name: str, error: Exception) -> Problem:
    return Problem(
        place=place,
        value=name,
        rule=f"a file, a diffusers folder or a hub id ({str(error).splitlines()[0]})",
        remedy="correct the path, or download the model first",
    )
