"""Which model files an engine configuration means. Imports no torch: a job is planned without it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.models import TINY_CHECKPOINT
from jobs.errors import Problem, SpecError
from jobs.file_digests import file_digest
from jobs.spec.engine import PassStrengths
from jobs.weights.describe import describe
from jobs.weights.header import WeightsFault
from jobs.weights.positions import counts_causally
from jobs.weights.use import encoder_beside, holds_temporal_upsampler, is_decoder_alone

if TYPE_CHECKING:
    from jobs.spec.engine import EngineConfig

FOLDERS = (
    "transformer",
    "vae",
    "text_encoder",
    "tokenizer",
    "latent_upsampler",
    "connectors",
    "audio_vae",
    "vocoder",
)


TEXT_FOLDERS = ("text_encoder", "tokenizer")


@dataclass(frozen=True)
class ModelFiles:
    """Local paths. `checkpoint` is a single file or a diffusers folder; `None` means: not given.

    `diffusion_model` is a transformer alone, which counts before the checkpoint's; `text_encoder` is a folder
    with `text_encoder/` and `tokenizer/`, `projections` are files beside it (LTX-2), `loras` pairs of file
    and strength.
    """

    checkpoint: Path
    vae: Path | None
    text_encoder: Path | None
    upscale_model: Path | None
    loras: tuple[tuple[Path, PassStrengths], ...]
    diffusion_model: Path | None = None
    audio_vae: Path | None = None
    projections: tuple[Path, ...] = ()
    temporal_upscale_model: Path | None = None

    @property
    def is_single_file(self) -> bool:
        return self.checkpoint.is_file()

    @property
    def transformer(self) -> Path:
        """The file or folder that holds the transformer."""
        return component_folder(self.diffusion_model or self.checkpoint, "transformer")

    @property
    def video_vae(self) -> Path:
        """The file or folder that holds the video VAE."""
        return component_folder(self.vae or self.checkpoint, "vae")

    @property
    def encoder(self) -> Path | None:
        """The folder that encodes, where the video VAE is a decoder alone."""
        return encoder_beside(self.video_vae) if is_decoder_alone(self.video_vae) else None

    @property
    def makes_sound(self) -> bool:
        """Whether the transformer is one of LTX-2. What is wrong with a file its loader says."""
        try:
            return describe(self.transformer).family == "ltx-2"
        except (OSError, WeightsFault):
            return False

    @property
    def connectors(self) -> tuple[Path, ...]:
        """LTX-2: the files, or the folder, that hold what turns states of the text encoder into context. The
        connectors of a model in parts lie in the file of its transformer."""
        folder = self.checkpoint / "connectors"
        if folder.is_dir():
            return (folder,)
        return tuple(dict.fromkeys((self.diffusion_model or self.checkpoint, *self.projections)))

    def sound(self, part: str) -> Path:
        """LTX-2: the file or folder that holds the `audio_vae` or the `vocoder`."""
        return component_folder(self.audio_vae or self.checkpoint, part)

    def digests(self) -> dict[str, dict[str, Any]]:
        """What reaches each stage's bytes, by stage name."""
        vae: Any = _digest(self.video_vae)
        if self.encoder is not None:
            vae = [vae, _digest(self.encoder)]
        whole = _digest(self.transformer)
        first, second = (
            {
                "transformer": whole,
                "loras": [[file_digest(path), getattr(each, which)] for path, each in self.loras],
            }
            for which in ("sample", "upscale")
        )
        text = [_digest(self._text_part(name)) for name in ("text_encoder", "tokenizer")]
        upsampler = self.upscale_model or (self.checkpoint if self.is_single_file else None)
        digests: dict[str, dict[str, Any]] = {
            "encode": {"text": text, "vae": vae},
            "sample": first,
            "upscale": {**second, "vae": vae, "upsampler": upsampler and file_digest(upsampler)},
            "decode": {"vae": vae},
        }
        if self._rounds_differ():
            digests["upscale"]["rounds"] = self._rounds(whole, vae)
        return self._with_sound(digests) if self.makes_sound else digests

    def _rounds_differ(self) -> bool:
        """Whether temporal rounds read what no second pass does."""
        apart = self.diffusion_model is not None and holds_temporal_upsampler(self.checkpoint)
        own_weights = any(each.rounds is not None for _, each in self.loras)
        return apart or own_weights or self.temporal_upscale_model is not None

    def _rounds(self, transformer: str | None, vae: Any) -> dict[str, dict[str, Any]]:
        in_time = self.temporal_upscale_model or self.checkpoint
        loras = [[file_digest(path), each.of("rounds")] for path, each in self.loras]
        return {
            "canvas": {"vae": vae, "temporal_upsampler": file_digest(in_time)},
            "tile": {"transformer": transformer, "loras": loras},
        }

    def _with_sound(self, digests: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        sound = [_digest(self.sound(part)) for part in ("audio_vae", "vocoder")]
        words = [_digest(self.text_encoder)] if self.text_encoder else digests["encode"]["text"]
        text = {"text": words, "connectors": [*map(_digest, self.connectors)], "sound": sound}
        return {
            **digests,
            "encode": {**digests["encode"], **text},
            "decode": {**digests["decode"], "sound": sound},
        }

    def paths(self) -> tuple[Path, ...]:
        """Every file and folder that is read, absolute."""
        named = (
            self.checkpoint,
            self.diffusion_model,
            self.vae,
            self.encoder,
            self.audio_vae,
            self.text_encoder,
            *self.projections,
            self.upscale_model,
            self.temporal_upscale_model,
            *(path for path, _ in self.loras),
        )
        return tuple(path.absolute() for path in named if path is not None)

    def counts_causally(self) -> bool:
        """Whether the first latent is one frame in the transformer's coordinates, as in 0.9.5 and later.

        Raises `SpecError` where neither its file nor the VAE says it.
        """
        causal = counts_causally(self.transformer, self.video_vae)
        if causal is None:
            rule = "a transformer whose file does not say how it counts frames needs the VAE it came with"
            raise SpecError([Problem("engine.vae", "not given", rule, "name the VAE of the same release")])
        return causal

    def _text_part(self, name: str) -> Path:
        if self.text_encoder:
            return self.text_encoder / name
        return self.checkpoint if self.is_single_file else self.checkpoint / name


def component_folder(path: Path, component: str) -> Path:
    """Where a diffusers folder keeps `component`; the component itself, or a file, may be named instead."""
    below = path / component
    return below if below.is_dir() else path


def _digest(path: Path) -> str | None:
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

    alone = found("engine.diffusion_model", config.diffusion_model, ("transformer",))
    files = ModelFiles(
        checkpoint=found("engine.checkpoint", config.checkpoint) or alone or TINY_CHECKPOINT,
        vae=found("engine.vae", config.vae, ("vae",)),
        text_encoder=found("engine.text_encoder", next(iter(config.text_encoders), None), TEXT_FOLDERS),
        upscale_model=found("engine.upscale_model", config.upscale_model, ("latent_upsampler",)),
        temporal_upscale_model=found(
            "engine.temporal_upscale_model", config.temporal_upscale_model, ("temporal_latent_upsampler",)
        ),
        loras=tuple(
            (path, lora.strengths)
            for index, lora in enumerate(config.loras)
            if (path := found(f"engine.loras[{index}].path", lora.path))
        ),
        diffusion_model=alone,
        audio_vae=found("engine.audio_vae", config.audio_vae, ("audio_vae", "vocoder")),
        projections=tuple(
            path
            for name in config.text_encoders[1:]
            if (path := found("engine.text_encoder", name)) is not None
        ),
    )
    if problems := problems or list(_needless(files)):
        raise SpecError(problems)
    return files


def _needless(files: ModelFiles) -> Iterator[Problem]:
    if files.projections and not files.makes_sound:
        rule = "one folder or hub id: LTX-Video has no projection beside its text encoder"
        yield Problem("engine.text_encoder", "a list", rule, "give the folder alone")


def _local(name: str, folders: tuple[str, ...]) -> Path:
    path = Path(name)
    if path.exists():
        return snapshot_of(path)
    if name.count("/") != 1 or path.is_absolute() or name.startswith("."):
        raise FileNotFoundError(f"there is no file or folder {name}")
    from huggingface_hub import snapshot_download

    patterns = ["model_index.json", *(f"{folder}/*" for folder in folders)]
    return Path(snapshot_download(name, allow_patterns=patterns))


def snapshot_of(path: Path) -> Path:
    """A repository in a hub cache keeps each revision in a folder of its own: that of `main`."""
    main = path / "refs" / "main"
    if not main.is_file():
        return path
    snapshot = path / "snapshots" / main.read_text(encoding="utf-8").strip()
    return snapshot if snapshot.is_dir() else path


def _missing(place: str, name: str, error: Exception) -> Problem:
    return Problem(
        place=place,
        value=name,
        rule=f"a file, a diffusers folder or a hub id ({str(error).splitlines()[0]})",
        remedy="correct the path, or download the model first",
    )
