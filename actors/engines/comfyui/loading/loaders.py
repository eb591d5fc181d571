"""Model files to ComfyUI objects, each by path or by its name in ComfyUI's own folders."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.engines.comfyui.core.requirements import MODEL_FOLDERS
from actors.engines.comfyui.loading.completeness import (
    require_old_scales,
    require_whole_transformer,
    require_whole_vae,
)
from actors.engines.comfyui.loading.in_place import weights_in_place
from actors.engines.comfyui.loading.loras import add_lora
from actors.engines.comfyui.loading.model_kind import SAFE_SUFFIXES, is_audio_video
from actors.models import TINY_CHECKPOINT
from jobs.errors import CannotRun, OutOfMemory
from jobs.file_digests import file_digest
from jobs.weights.positions import counts_causally
from jobs.weights.use import denoises_pixels

if TYPE_CHECKING:
    from jobs.spec.engine import EngineConfig

MODEL_PREFIX = "model.diffusion_model."


@dataclass(frozen=True)
class ComfyModelFiles:
    """Where every model of a job lies; None where the job has none of that kind."""

    checkpoint: Path | None
    diffusion_model: Path | None
    vae: Path | None
    text_encoders: tuple[Path, ...]
    upscale_model: Path | None
    audio_vae: Path | None
    loras: tuple[tuple[Path, float], ...]

    @classmethod
    def locate(cls, config: EngineConfig) -> ComfyModelFiles:
        """Resolve names through ComfyUI's folders; without any model the bundled tiny one. Links are left as
        they are: core tells formats by the suffix, which a cache of downloads gives to the link alone.

        Raises CannotRun for a file that does not exist or could run code.
        """
        bundled = config.checkpoint is None and config.diffusion_model is None
        checkpoint = str(TINY_CHECKPOINT) if bundled else config.checkpoint

        def found(name: str | None, field: str) -> Path | None:
            return None if name is None else _find(name, field, config.allow_pickle)

        return cls(
            found(checkpoint, "checkpoint"),
            found(config.diffusion_model, "diffusion_model"),
            found(config.vae, "vae"),
            tuple(_find(name, "text_encoder", config.allow_pickle) for name in config.text_encoders),
            found(config.upscale_model, "upscale_model"),
            found(config.audio_vae, "audio_vae"),
            tuple(
                (_find(lora.path, "loras", config.allow_pickle), lora.strengths.sample)
                for lora in config.loras
            ),
        )

    @property
    def transformer(self) -> Path:
        """The file that holds the diffusion model."""
        found = self.diffusion_model or self.checkpoint
        assert found is not None
        return found

    def digests(self) -> dict[str, dict[str, Any]]:
        """What reaches each stage's bytes, by stage name."""
        video = {"vae": _digest(self.vae or self.checkpoint)}
        audio = {"audio_vae": _digest(self.audio_vae or self.checkpoint)}
        model = {
            "model": _digest(self.transformer),
            "loras": [[file_digest(path), strength] for path, strength in self.loras],
        }
        text = {"text": [_digest(path) for path in self.text_files()]}
        upscaler = {"upscale_model": _digest(self.upscale_model or self.checkpoint)}
        return {
            "encode": {**text, **video, **audio},
            "sample": {**model, **audio},
            "upscale": {**model, **video, **upscaler},
            "decode": {**video, **audio, **self._noise()},
        }

    def _noise(self) -> dict[str, str]:
        """What the engine's own code draws for a decoder that starts from noise."""
        vae = self.vae or self.checkpoint
        return {"noise": "of the film's frames"} if vae is not None and denoises_pixels(vae) else {}

    def text_files(self) -> list[Path]:
        """What the text encoder is made of: LTX-2's ends in a projection that its checkpoint may hold."""
        if not self.text_encoders:
            return [] if self.checkpoint is None else [self.checkpoint]
        return [*self.text_encoders, *([self.transformer] if is_audio_video(self.transformer) else [])]

    def paths(self) -> list[Path]:
        """Every file that is read."""
        single = (
            self.checkpoint, self.diffusion_model, self.vae, self.upscale_model, self.audio_vae
        )  # fmt: skip
        named = [path for path in single if path is not None]
        return [*named, *self.text_encoders, *(path for path, _ in self.loras)]


def _digest(path: Path | None) -> str | None:
    return None if path is None else file_digest(path)


def _find(name: str, field: str, allow_pickle: bool) -> Path:
    import folder_paths

    folders = MODEL_FOLDERS[field]
    path = Path(name) if Path(name).is_file() else None
    for folder in folders:
        if path is None and folder in folder_paths.folder_names_and_paths:
            listed = folder_paths.get_full_path(folder, name)
            path = Path(listed) if listed else None
    if path is None:
        places = [place for folder in folders for place in _places(folder)]
        raise CannotRun(
            f"engine.{field}: {name!r} is no file and is not in {', '.join(places)}: "
            "correct the name, or put the file there."
        )
    path = path.absolute()
    if path.suffix not in SAFE_SUFFIXES and not allow_pickle:
        raise CannotRun(
            f"engine.{field}: {path.name} may be a pickle, which can run code: convert it to .safetensors, "
            "or pass --allow-pickle."
        )
    return path


def _places(folder: str) -> list[str]:
    import folder_paths

    return folder_paths.get_folder_paths(folder) if folder in folder_paths.folder_names_and_paths else []


def load_model(files: ComfyModelFiles, dtype: str) -> Any:
    """MODEL with its LoRAs. `dtype` is `auto` (ComfyUI decides) or a torch name."""
    import comfy.model_management
    import comfy.sd
    import comfy.utils
    import torch

    if not hasattr(comfy.utils, "convert_old_quants"):
        require_old_scales(files.transformer)
    options = {} if dtype == "auto" else {"dtype": getattr(torch, dtype)}
    with weights_in_place(comfy.model_management.get_torch_device()):
        if files.diffusion_model is not None:
            model = _diffusion_model(files.diffusion_model, options)
        else:
            model = comfy.sd.load_checkpoint_guess_config(
                str(files.checkpoint), output_vae=False, output_clip=False, model_options=options
            )[0]
    require_whole_transformer(model, files.transformer)
    _count_frames(model, files)
    for path, strength in files.loras:
        model = add_lora(model, path, strength)
    _merge_patches(model)
    return model


def _count_frames(model: Any, files: ComfyModelFiles) -> None:
    """Core takes every file without metadata for a model of before 0.9.5. Raises CannotRun where nothing
    tells whether it is one."""
    if files.transformer.suffix not in SAFE_SUFFIXES:
        return
    vae = files.vae or files.checkpoint or files.transformer
    causal = counts_causally(files.transformer, vae if vae.suffix in SAFE_SUFFIXES else files.transformer)
    if causal is None:
        raise CannotRun(
            f"{files.transformer.name} does not say how it counts frames: give engine.vae, the VAE of the "
            "same release."
        )
    model.model.diffusion_model.causal_temporal_positioning = causal


def _merge_patches(model: Any) -> None:
    """Put MODEL's patches into its weights for good, computed where and as core does for a model that fits.

    Core merges them at every load, and adds them in another number type to weights that stay behind when
    memory is short: the result would depend on what else is on the device.
    """
    import comfy.utils

    for key in model.patches:
        model.patch_weight_to_device(key, device_to=model.load_device)
        merged = comfy.utils.get_attr(model.model, key)
        comfy.utils.set_attr_param(model.model, key, merged.to(model.offload_device))
    model.patches.clear()
    model.backup.clear()


def _diffusion_model(path: Path, options: dict[str, Any]) -> Any:
    """MODEL of a file that holds nothing else.

    Cores before 0.8 pass over the config in the file's metadata, and with it the causal positions that LTX
    models have since 0.9.5; their loader of whole checkpoints reads it.
    """
    import comfy.sd
    import comfy.utils

    if "metadata" in inspect.signature(comfy.sd.load_diffusion_model_state_dict).parameters:
        return comfy.sd.load_diffusion_model(str(path), model_options=options)
    weights, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    if not any(name.startswith(MODEL_PREFIX) for name in weights):
        weights = {MODEL_PREFIX + name: tensor for name, tensor in weights.items()}
    return comfy.sd.load_state_dict_guess_config(
        weights, output_vae=False, output_clip=False, model_options=options, metadata=metadata
    )[0]


def load_vae(files: ComfyModelFiles) -> Any:
    """VAE of the video side. It refuses to fall back to tiles, which would change the film in silence."""
    path = files.vae or files.checkpoint
    if path is None:
        raise CannotRun("engine: diffusion_model comes without a VAE: give engine.vae too.")
    vae = _checkpoint_vae(path) if files.vae is None else _vae_alone(path)
    require_whole_vae(vae, path)
    # Frames are rounded where they are decoded: core would move four times the bytes to host memory first.
    vae.output_device = vae.device
    for name in ("decode_tiled_3d", "encode_tiled_3d"):
        setattr(vae, name, _no_tiles)
    return vae


def _vae_alone(path: Path) -> Any:
    import comfy.sd
    import comfy.utils

    weights, metadata = comfy.utils.load_torch_file(str(path), return_metadata=True)
    if any(name.startswith("vae.") for name in weights):
        weights = comfy.utils.state_dict_prefix_replace(weights, {"vae.": ""}, filter_keys=True)
    return comfy.sd.VAE(sd=weights, metadata=metadata)


def _checkpoint_vae(path: Path) -> Any:
    import comfy.sd

    try:
        vae = comfy.sd.load_checkpoint_guess_config(
            str(path), output_model=False, output_clip=False, output_vae=True
        )[2]
    except RuntimeError as error:
        if "size mismatch" not in str(error):
            raise
        raise CannotRun(
            f"This ComfyUI builds its LTX VAE wider than {path.name} is: update ComfyUI to 0.25 or later."
        ) from error
    if vae is None:
        raise CannotRun(f"{path.name} holds no VAE: give engine.vae too.")
    return vae


def _no_tiles(*_: Any, **__: Any) -> Any:
    raise OutOfMemory(
        "the video VAE does not fit in memory: use a larger device, or decode in temporal tiles."
    )
