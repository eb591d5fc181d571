"""Models that core's own nodes load: the latent upsampler and the audio VAE."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.loading.model_kind import SAFE_SUFFIXES
from actors.engines.comfyui.loading.tiny import has_own_text, write_own_upsampler
from jobs.errors import CannotRun
from jobs.weights.safetensors_header import read_header

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles

CORES_AUDIO = "autoencoder."
"""What core calls the audio VAE, which is `audio_vae.` in the files of Lightricks."""


def load_upscale_model(core: Core, files: ComfyModelFiles) -> Any:
    """LATENT_UPSCALE_MODEL: the file given, or the tiny model's own."""
    core.require("upscale")
    if files.upscale_model is not None:
        return _upscale_model(core, files.upscale_model)
    if files.checkpoint is not None and has_own_text(files.checkpoint):
        return load_own_upsampler(core, files.checkpoint)
    raise CannotRun("The job upscales without an upscale model: give engine.upscale_model.")


def load_own_upsampler(core: Core, path: Path) -> Any:
    """LATENT_UPSCALE_MODEL from inside a checkpoint, built by core's own loader, which wants a file."""
    with TemporaryDirectory() as folder:
        own = Path(folder) / "upsampler.safetensors"
        write_own_upsampler(path, own)
        return _upscale_model(core, own)


def _upscale_model(core: Core, path: Path) -> Any:
    return _by_node(core, "LatentUpscaleModelLoader", "model_name", "latent_upscale_models", path)


def load_audio_vae(core: Core, files: ComfyModelFiles) -> Any:
    """Audio VAE of LTX-2, from its own file or the checkpoint, as Lightricks or as core names it."""
    core.require("audio")
    path = files.audio_vae or files.checkpoint
    if path is None:
        raise CannotRun("The job makes or hears sound without an audio VAE: give engine.audio_vae.")
    if path.suffix in SAFE_SUFFIXES and any(name.startswith(CORES_AUDIO) for name in read_header(path)):
        return _by_node(core, "VAELoader", "vae_name", "vae", path)
    return _by_node(core, "LTXVAudioVAELoader", "ckpt_name", "checkpoints", path)


def _by_node(core: Core, node_id: str, argument: str, folder: str, path: Path) -> Any:
    """Run a loader node on a file wherever it lies: its folder becomes the first place ComfyUI looks."""
    import folder_paths

    folder_paths.add_model_folder_path(folder, str(path.parent), is_default=True)
    return core.call(node_id, **{argument: path.name})[0]
