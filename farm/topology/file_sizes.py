"""How much device memory the models of a file take: each part by its own tensors, whatever lies beside it."""

from __future__ import annotations

from collections.abc import Iterable
from math import prod
from pathlib import Path

from farm.models.tensor_sizes import tensor_bytes
from jobs.weights.describe import (
    OTHER_PARTS,
    TRANSFORMER_PREFIXES,
    VAE_PREFIXES,
    transformer_prefix,
    vae_prefix,
)
from jobs.weights.header import Weights, WeightsFault, read_weights
from jobs.weights.numbers import quantisation
from jobs.weights.use import encoder_beside, folder_of, is_decoder_alone

GIB = 2**30

SOUND_PARTS = ("audio_vae", "autoencoder", "vocoder")
BESIDE = ("vae.", "vocoder.", "autoencoder.", "text_encoders.", *OTHER_PARTS)
"""What else a file may hold whose transformer has no prefix."""
CONTEXT_PARTS = ("video_embeddings_connector.", "audio_embeddings_connector.", "text_embedding_projection.")
"""Of LTX-2: what turns states of the text encoder into context. It lies in the file of the transformer."""


def file_gib(path: Path | None) -> float:
    """Size of a model file or folder; 0 without one."""
    if path is None:
        return 0.0
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files) / GIB


def transformer_gib(path: Path | None, unpacked: bool) -> float:
    """The transformer of a file or folder; `unpacked`: as the diffusers engine has it, in 16 bits where it is
    stored in fewer, and without what makes its context. ComfyUI's core keeps that with it."""
    if path is None:
        return 0.0
    folder = folder_of(path, "transformer")
    weights = _weights(folder)
    if weights is None:
        return file_gib(folder)
    prefix = _transformer_prefix(weights)
    own = {name for name in weights.tensors if name.startswith(prefix)}
    own -= {name for name in own if not prefix and name.startswith(BESIDE)}
    if unpacked:
        own -= {name for name in own if name[len(prefix) :].startswith(CONTEXT_PARTS)}
    tensors = {name: weights.tensors[name] for name in own}
    if unpacked and quantisation(weights, tensors):
        return 2 * sum(prod(tensor.shape) for tensor in tensors.values()) / GIB
    return file_gib(folder) if folder.is_dir() else tensor_bytes(folder, own.__contains__) / GIB


def _transformer_prefix(weights: Weights) -> str:
    """Of a model that only ComfyUI's core knows, the prefix that its names have."""
    known = transformer_prefix(weights)
    if known is not None:
        return known
    starts = (each for each in TRANSFORMER_PREFIXES if any(n.startswith(each) for n in weights.tensors))
    return next(starts, "")


def context_gib(checkpoint: Path | None, denoises: Path | None, projections: Iterable[Path | None]) -> float:
    """What makes the context of LTX-2 out of a text encoder's states, as the diffusers engine finds it: the
    checkpoint's `connectors` folder, or else what the transformer's file and the `projections` have of it.
    `denoises` is the file or folder that has the transformer."""
    folder = (checkpoint or denoises or Path()) / "connectors"
    if folder.is_dir():
        return file_gib(folder)
    files = {path for path in (denoises, *projections) if path is not None}
    return sum(tensor_bytes(path, _makes_context) for path in files) / GIB


def _makes_context(name: str) -> bool:
    return any(part in name for part in CONTEXT_PARTS)


def vae_gib(vae: Path | None, checkpoint: Path | None) -> float:
    """The video VAE that the job decodes with: the one that is named, or else the checkpoint's. One that is
    not used is not loaded."""
    if vae is not None and vae.is_dir():
        vae = folder_of(vae, "vae")
        beside = encoder_beside(vae) if is_decoder_alone(vae) else None
        return file_gib(vae) + _encoder_gib(beside)
    if vae is not None:
        return file_gib(vae)
    if checkpoint is None:
        return 0.0
    if checkpoint.is_dir():
        return file_gib(checkpoint / "vae") if (checkpoint / "vae").is_dir() else 0.0
    weights = _weights(checkpoint)
    prefix = (vae_prefix(weights) if weights else None) or VAE_PREFIXES[0]
    return tensor_bytes(checkpoint, lambda name: name.startswith(prefix)) / GIB


def _encoder_gib(folder: Path | None) -> float:
    """Of a VAE's folder, what a decoder that is alone is loaded with."""
    files = folder.glob("*.safetensors") if folder is not None else ()
    return sum(tensor_bytes(file, lambda name: name.startswith("encoder.")) for file in files) / GIB


def sound_gib(path: Path | None, unpacked: bool) -> float:
    """Audio VAE and vocoder of a file or folder; `unpacked`: in the 32 bits in which the diffusers engine
    holds them."""
    if path is None:
        return 0.0
    if path.is_dir():
        found = [_weights(path / part) for part in SOUND_PARTS if (path / part).is_dir()]
        sizes = [tensor.shape for each in found if each for tensor in each.tensors.values()]
        return (4 if unpacked else 2) * sum(map(prod, sizes)) / GIB
    starts = tuple(f"{part}." for part in SOUND_PARTS)
    if not unpacked:
        return tensor_bytes(path, lambda name: name.startswith(starts)) / GIB
    weights = _weights(path)
    tensors = weights.tensors.items() if weights else ()
    return 4 * sum(prod(tensor.shape) for name, tensor in tensors if name.startswith(starts)) / GIB


def text_encoder_gib(path: Path | None) -> float:
    """Of a snapshot that holds more, only the encoder's own folder is loaded."""
    own = path / "text_encoder" if path is not None else None
    return file_gib(own if own is not None and own.is_dir() else path)


def _weights(path: Path) -> Weights | None:
    """The header; None where it cannot be read."""
    try:
        return read_weights(path)
    except (OSError, WeightsFault):
        return None
