"""Names, number types and shapes of the tensors of a model file, without reading one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from jobs.weights.gguf import read_gguf
from jobs.weights.safetensors_header import read_header

SAFE = (".safetensors", ".sft")
GGUF = ".gguf"
INDEX = "*.safetensors.index.json"


class WeightsFault(ValueError):
    """A model file is damaged or incomplete; the message says how, after the file's name."""


@dataclass(frozen=True)
class Tensor:
    """`dtype` is written as safetensors (`F32`, `BF16`, `F8_E4M3`) or GGUF (`Q8_0`) write it; `nbytes` are
    those that it takes in its file, 0 for one that is in none."""

    dtype: str
    shape: tuple[int, ...]
    nbytes: int = field(default=0, compare=False)


@dataclass(frozen=True)
class Weights:
    """The tensors of one file, or of the shards of one model, with the metadata."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The JSON in the metadata's `config`; empty where there is none. Raises WeightsFault."""
        return _json(self.metadata.get("config", "{}"))

    def below(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose names start with `prefix`, without it."""
        return {name[len(prefix) :]: t for name, t in self.tensors.items() if name.startswith(prefix)}


def read_weights(path: Path) -> Weights:
    """The header of a safetensors or GGUF file, or of all shards in a folder.

    Raises OSError, or WeightsFault for a file that is damaged, incomplete or of another kind.
    """
    try:
        if path.is_dir():
            return _of_shards(path)
        stat = path.stat()
        return _of_file(path, stat.st_size, stat.st_mtime_ns)
    except WeightsFault:
        raise
    except ValueError as error:
        raise WeightsFault(f"{path.name} {error}") from None


def shards(folder: Path) -> list[Path]:
    """The weight files of a folder, by its index where it has one. Raises WeightsFault for one that is
    missing."""
    index = next(iter(sorted(folder.glob(INDEX))), None)
    if index is None:
        return sorted(path for suffix in SAFE for path in folder.glob(f"*{suffix}"))
    places = _json(index.read_text(encoding="utf-8")).get("weight_map", {})
    if not isinstance(places, dict):
        raise WeightsFault(f"{folder.name}: {index.name} lists no files")
    listed = sorted(set(map(str, places.values())))
    missing = [name for name in listed if not (folder / name).is_file()]
    if missing:
        raise WeightsFault(f"{folder.name}: {index.name} lists {missing[0]}, which is not there")
    return [folder / name for name in listed]


def component_config(folder: Path) -> dict[str, Any]:
    """`config.json` of the folder of a diffusers component; empty where there is none, or a damaged one."""
    try:
        return _json((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _of_shards(folder: Path) -> Weights:
    parts = [read_weights(path) for path in shards(folder)]
    if not parts:
        raise WeightsFault(f"{folder.name} holds no .safetensors")
    tensors = {name: tensor for part in parts for name, tensor in part.tensors.items()}
    return Weights(tensors, parts[0].metadata if len(parts) == 1 else {})


@lru_cache(maxsize=32)
def _of_file(path: Path, _size: int, _changed_ns: int) -> Weights:
    """Size and time of change are there for the cache: a file that changed is read again."""
    if path.suffix.lower() == GGUF:
        return _of_gguf(path)
    header = read_header(path)
    metadata = header.pop("__metadata__", {})
    return Weights({name: _entry(each) for name, each in header.items()}, metadata)


def _entry(said: Mapping[str, Any]) -> Tensor:
    start, stop = said["data_offsets"]
    return Tensor(said["dtype"], tuple(said["shape"]), stop - start)


def _of_gguf(path: Path) -> Weights:
    tensors, metadata = read_gguf(path)
    return Weights(
        {name: Tensor(info.kind, info.shape, info.size) for name, info in tensors.items()}, metadata
    )


def _json(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        raise WeightsFault("has a config that is no JSON object")
    return document
