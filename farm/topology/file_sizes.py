"""How large the parts of a model are: by the header of its file, whatever lies beside them there, or as a
recipe has it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from farm.models.comfy_folders import find_model
from jobs.recipes.published import MAIN_PARTS, published
from jobs.weights.describe import (
    OTHER_PARTS,
    TRANSFORMER_PREFIXES,
    VAE_PREFIXES,
    transformer_prefix,
    vae_prefix,
)
from jobs.weights.header import Tensor, Weights, WeightsFault, read_weights
from jobs.weights.use import PARTS, encoder_beside, is_decoder_alone

if TYPE_CHECKING:
    from jobs.recipes.recipe import Part
    from jobs.spec.engine import EngineConfig

GIB = 2**30
PUBLISHED_BYTES = 2
"""Of a parameter in the files of recipes, all of which but text encoders in folders have 16 bits."""

SOUND = ("audio_vae.", "autoencoder.", "vocoder.")
BESIDE = ("vae.", "vocoder.", "autoencoder.", "text_encoders.", *OTHER_PARTS)
"""What else a file may hold whose transformer has no prefix."""
PROJECTION = "text_embedding_projection."
CONTEXT = ("video_embeddings_connector.", "audio_embeddings_connector.", PROJECTION)
"""Of LTX-2: what turns states of the text encoder into context. It lies in the file of the transformer."""
FOLDERS: Mapping[Part, tuple[str, ...]] = {
    "transformer": ("transformer",),
    "connectors": ("connectors",),
    "vae": ("vae",),
    "sound": ("audio_vae", "autoencoder", "vocoder"),
    "text_encoder": ("text_encoder",),
}
"""Where a folder of diffusers has each part; the projection lies with the connectors."""


@dataclass(frozen=True, slots=True)
class Size:
    """Parameters, and the bytes that they take in a file."""

    parameters: int = 0
    nbytes: int = 0

    def __add__(self, other: Size) -> Size:
        return Size(self.parameters + other.parameters, self.nbytes + other.nbytes)


Parts = Mapping["Part", Size]


def parts_of(engine: EngineConfig, field: str, name: str) -> Parts | None:
    """What `engine.<field>: name` holds: by the file or folder where it is here, else as a recipe has it;
    None for what neither tells."""
    path = find_model(engine, field, name)
    return parts_in(path, field) if path is not None else published_parts(field, name)


def published_parts(field: str, name: str) -> Parts | None:
    """What a recipe has of `engine.<field>: name`; None where none has it."""
    known = published(field, name)
    if known is None:
        return None
    return {part: Size(count, PUBLISHED_BYTES * count) for part, count in known.parameters.items()}


def parts_in(path: Path, field: str) -> Parts:
    """What a file or folder that is `engine.<field>` holds. Where no header can be read, all of it counts as
    what the field is for, in 16 bits."""
    if path.is_dir():
        return _summed(_of_folder(path, field))
    weights = _weights(path)
    if weights is None:
        return {MAIN_PARTS[field]: _unread(path)}
    part_of = _naming(weights, field)
    return _summed((part_of(name), _size(tensor)) for name, tensor in weights.tensors.items())


def gib(parts: Iterable[Parts], *wanted: Part, value_bytes: int | None) -> float:
    """Memory of the wanted parts; with `value_bytes` for each parameter, or as they are stored."""
    sizes = [each[part] for each in parts for part in wanted if part in each]
    return sum(size.nbytes if value_bytes is None else size.parameters * value_bytes for size in sizes) / GIB


def file_gib(path: Path) -> float:
    """Size of a model file or folder."""
    return _unread(path).nbytes / GIB


def _naming(weights: Weights, field: str) -> Callable[[str], Part | None]:
    """Which part of the file a tensor is of, by its name."""
    if field == "text_encoder":
        return lambda name: "projection" if _is_context(name) else "text_encoder"
    main = MAIN_PARTS[field]
    if main not in ("transformer", "sound"):
        return lambda _: main
    known, vae = transformer_prefix(weights), vae_prefix(weights)
    if known is None and vae == "":
        return lambda _: "vae"
    prefix = _starting(weights) if known is None else known
    return lambda name: _part(name, prefix, vae or VAE_PREFIXES[0])


def _part(name: str, prefix: str, vae: str) -> Part | None:
    if name.startswith(prefix) and (prefix or not name.startswith(BESIDE)):
        return "connectors" if name[len(prefix) :].startswith(CONTEXT) else "transformer"
    if _is_context(name):
        return "projection"
    if name.startswith(vae):
        return "vae"
    if name.startswith(SOUND):
        return "sound"
    return "text_encoder" if name.startswith("text_encoder.") else None


def _starting(weights: Weights) -> str:
    """Of a model that only ComfyUI's core knows, the prefix that its names have."""
    starts = (each for each in TRANSFORMER_PREFIXES if any(n.startswith(each) for n in weights.tensors))
    return next(starts, "")


def _is_context(name: str) -> bool:
    return any(part in name for part in CONTEXT)


def _of_folder(path: Path, field: str) -> Iterator[tuple[Part, Size]]:
    """Of a snapshot, only the parts that the field is for are loaded; a part itself may be named instead."""
    main = MAIN_PARTS[field]
    for part in FOLDERS if field == "checkpoint" else (main,):
        names = FOLDERS.get(part, (PARTS.get(field, ""),))
        below = [path / name for name in names if (path / name).is_dir()]
        for folder in below or ([path] if part == main else ()):
            yield part, _whole(folder)


def _whole(folder: Path) -> Size:
    """All of a part's folder; of a video VAE's that is a decoder alone with the encoder beside it."""
    weights = _weights(folder)
    own = _unread(folder) if weights is None else sum(map(_size, weights.tensors.values()), Size())
    beside = encoder_beside(folder) if is_decoder_alone(folder) else None
    encoder = _weights(beside) if beside is not None else None
    return sum(map(_size, encoder.below("encoder.").values()), own) if encoder else own


def _summed(sizes: Iterable[tuple[Part | None, Size]]) -> Parts:
    found: dict[Part, Size] = {}
    for part, size in sizes:
        if part is not None:
            found[part] = found.get(part, Size()) + size
    return found


def _size(tensor: Tensor) -> Size:
    return Size(prod(tensor.shape), tensor.nbytes)


def _unread(path: Path) -> Size:
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    nbytes = sum(file.stat().st_size for file in files)
    return Size(nbytes // PUBLISHED_BYTES, nbytes)


def _weights(path: Path) -> Weights | None:
    """The header; None where it cannot be read."""
    try:
        return read_weights(path)
    except (OSError, WeightsFault):
        return None
