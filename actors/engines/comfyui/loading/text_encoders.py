"""Text encoder files to ComfyUI's CLIP: T5 for LTX-Video; for LTX-2 Gemma and a projection, which stands in
Gemma's file, in a file of its own, or in the checkpoint."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.loading.in_place import weights_in_place
from actors.engines.comfyui.loading.model_kind import is_audio_video
from jobs.errors import CannotRun

if TYPE_CHECKING:
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles

PROJECTION_PREFIX = "text_embedding_projection."
CONNECTOR = "_embeddings_connector."
SEPARATE = f"audio{CONNECTOR}transformer_1d_blocks.2."
"""Layers behind the projection. Core applies them with the transformer; those of the first release, which
had two blocks and no third, with the text encoder."""


def load_text_encoder(files: ComfyModelFiles) -> Any:
    """CLIP of the job's text encoder. Raises CannotRun where a part of it is in no file."""
    import comfy.model_management
    import comfy.sd
    import folder_paths

    if not files.text_encoders:
        raise CannotRun(f"{files.transformer.name} needs a text encoder: give engine.text_encoder.")
    weights = [_weights(path) for path in files.text_encoders]
    if is_audio_video(files.transformer) and not any(map(_is_projected, weights)):
        weights.append(_projection_of(files))
    with weights_in_place(comfy.model_management.text_encoder_device()):
        return comfy.sd.load_text_encoder_state_dicts(
            weights,
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            clip_type=comfy.sd.CLIPType.LTXV,
        )


def _is_projected(weights: Iterable[str]) -> bool:
    return any(name.startswith(PROJECTION_PREFIX) for name in weights)


def _projection_of(files: ComfyModelFiles) -> Mapping[str, Any]:
    """The checkpoint's part of the text encoder. Where there is none, core would make a projection of zeros,
    and every prompt would mean the same."""
    part = _text_part(files.transformer)
    if _is_projected(part):
        return part
    looked = ", ".join(path.name for path in files.text_files())
    raise CannotRun(
        f"{files.transformer.name} is an LTX-2 model, and the projection of its text encoder "
        f"({PROJECTION_PREFIX}*) is in none of {looked}: give engine.text_encoder as a list with the file "
        "that has it, or a text encoder or checkpoint that includes it."
    )


def _weights(path: Path) -> Mapping[str, Any]:
    """All of a text encoder's file, as core reads it."""
    import comfy.utils

    found, metadata = comfy.utils.load_torch_file(str(path), safe_load=True, return_metadata=True)
    convert = getattr(comfy.utils, "convert_old_quants", None)
    return found if convert is None else convert(found, model_prefix="", metadata=metadata)[0]


def _text_part(path: Path) -> Mapping[str, Any]:
    """Of a checkpoint, which may be 46 GB, what the text encoder takes."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        separate = any(SEPARATE in name for name in names)
        kept = [name for name in names if name.startswith(PROJECTION_PREFIX)]
        kept += [name for name in names if CONNECTOR in name and not separate]
        return {name: file.get_tensor(name) for name in kept}
