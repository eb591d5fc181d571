"""Model files -> diffusers modules, without network.

An original Lightricks file holds `model.diffusion_model.*` and `vae.*` and, in its metadata, a JSON `config`
with the entries `transformer` and `vae`; parts come in files of their own, with or without these prefixes.
The bundled tiny model adds `text_encoder.*` and `latent_upsampler.*` with entries of the same names. A folder
of diffusers holds one component as `config.json` and one file or several shards.

Every way in ends in a `Component`, which is complete before a tensor is read: each tensor of the module is in
the file with its shape, and nothing else is there but what `names` knows to be harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.engines.diffusers.ltx_video.architecture import (
    Config,
    State,
    UnsupportedCheckpoint,
    build_transformer,
    build_upsampler,
    build_vae,
)
from actors.engines.diffusers.ltx_video.inferred import (
    transformer_config_of,
    upsampler_config_of,
    vae_config_of,
)
from actors.engines.diffusers.ltx_video.names import TRANSFORMER_NAMES, rename, vae_state
from actors.engines.diffusers.stored import read_tensors
from jobs.weights.describe import transformer_prefix, vae_prefix
from jobs.weights.header import Tensor, Weights, WeightsFault, component_config, read_weights
from jobs.weights.numbers import is_note, unread_by_diffusers

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

UPSAMPLER_PREFIX = "latent_upsampler."
MOST_NAMED = 3


@dataclass(frozen=True)
class Checkpoint:
    """A model file, or the folder of one diffusers component, with its header."""

    path: Path
    weights: Weights

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the header of `path`. Raises `UnsupportedCheckpoint` where it has none."""
        try:
            return cls(path, read_weights(path))
        except (OSError, WeightsFault) as error:
            raise UnsupportedCheckpoint(str(error)) from error

    @property
    def configs(self) -> Config:
        """The configs in the metadata, by component; empty where there are none."""
        return self.weights.config

    def has(self, component: str) -> bool:
        """Whether the metadata describes `component` (`transformer`, `vae`, `text_encoder`,
        `latent_upsampler`).
        """
        return component in self.configs

    def state(self, prefix: str) -> State:
        """The tensors whose names start with `prefix`, without it, as stored."""
        names = [name for name in self.weights.tensors if name.startswith(prefix)]
        return {name[len(prefix) :]: tensor for name, tensor in read_tensors(self.path, names, None)}


@dataclass(frozen=True)
class Component:
    """One model: how it is built, and what its tensors are called in the file."""

    checkpoint: Checkpoint
    what: str
    build: Callable[[], Any]
    stored: Mapping[str, str]
    family: str = "LTX-Video"

    def shapes(self) -> dict[str, Tensor]:
        """The file's tensors by their names in the module."""
        return {name: self.checkpoint.weights.tensors[key] for name, key in self.stored.items()}

    def empty(self) -> Any:
        """The module without memory of its own. Raises `UnsupportedCheckpoint` where the file does not fill
        it.

        Drawing fresh weights for a model of 13 billion parameters in float32, only to replace them, takes
        minutes and 50 GiB.
        """
        with torch.device("meta"):
            module = self.build()
        fault = self._misfit({name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
        if fault:
            raise UnsupportedCheckpoint(f"{self.checkpoint.path.name}: {fault}")
        return module

    def load(self, dtype: torch.dtype | None = None) -> Any:
        """The module in eval mode with the file's weights, in `dtype` (default: as stored)."""
        module = self.empty()
        names = {self.stored[name]: name for name in module.state_dict()}
        state = {names[key]: tensor for key, tensor in read_tensors(self.checkpoint.path, names, dtype)}
        module.load_state_dict(state, strict=True, assign=True)
        return module.eval().requires_grad_(False)

    def _misfit(self, wanted: Mapping[str, tuple[int, ...]]) -> str:
        """What keeps the file from filling the module, empty where nothing does."""
        found = self.checkpoint.weights.tensors
        quantised = unread_by_diffusers(self.checkpoint.weights, self.shapes())
        if quantised:
            return f"its weights are {quantised}, which this engine does not read"
        missing = [name for name in wanted if name not in self.stored]
        if missing:
            return f"{_listed(missing)} of this {self.what} {_verb(missing)} missing"
        over = [key for name, key in self.stored.items() if name not in wanted and not is_note(key)]
        if over:
            return f"{_listed(over)} {_verb(over)} no tensor of an {self.family} {self.what}"
        for name, shape in wanted.items():
            stored = found[self.stored[name]].shape
            if stored != shape:
                return f"{self.stored[name]} is {list(stored)}, and {list(shape)} in this {self.what}"
        return ""


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _verb(names: list[str]) -> str:
    return "are" if len(names) > 1 else "is"


def transformer_component(checkpoint: Checkpoint) -> Component:
    """The transformer of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "transformer")
    prefix = transformer_prefix(checkpoint.weights)
    if prefix is None:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no LTX-Video transformer")
    stored = rename(_keys(checkpoint, prefix), TRANSFORMER_NAMES)
    config = checkpoint.configs.get("transformer") or transformer_config_of(_shapes(checkpoint, stored))
    return Component(checkpoint, "transformer", lambda: build_transformer(config), stored)


def vae_component(checkpoint: Checkpoint) -> Component:
    """The video VAE of a file or folder."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "vae")
    prefix = vae_prefix(checkpoint.weights)
    if prefix is None:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no LTX-Video VAE")
    keys = _keys(checkpoint, prefix)
    config = checkpoint.configs.get("vae") or vae_config_of(_shapes(checkpoint, keys))
    return Component(checkpoint, "vae", lambda: build_vae(config), vae_state(keys, config))


def upsampler_component(checkpoint: Checkpoint) -> Component:
    """The latent upsampler that has a file or folder of its own, or that the bundled model carries."""
    if checkpoint.path.is_dir():
        return _of_folder(checkpoint, "latent_upsampler")
    inside = checkpoint.has("latent_upsampler")
    stored = _keys(checkpoint, UPSAMPLER_PREFIX if inside else "")
    if "upsampler.0.weight" not in stored or "initial_conv.weight" not in stored:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds no latent upsampler of 2x")
    config = checkpoint.configs.get("latent_upsampler") if inside else checkpoint.configs
    shapes = _shapes(checkpoint, stored)
    return Component(
        checkpoint, "latent_upsampler", lambda: build_upsampler(config or upsampler_config_of(shapes)), stored
    )


def load_transformer(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXVideoTransformer3DModel:
    """The transformer with the file's weights, in `dtype` (default: as stored)."""
    return transformer_component(checkpoint).load(dtype)


def load_vae(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> AutoencoderKLLTXVideo:
    """The video VAE with the file's weights, in `dtype` (default: as stored)."""
    return vae_component(checkpoint).load(dtype)


def load_upsampler(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """The latent upsampler with the file's weights, in `dtype` (default: as stored)."""
    return upsampler_component(checkpoint).load(dtype)


def _keys(checkpoint: Checkpoint, prefix: str) -> dict[str, str]:
    """What the file calls the tensors below `prefix`, by their names without it."""
    return {name[len(prefix) :]: name for name in checkpoint.weights.tensors if name.startswith(prefix)}


def _shapes(checkpoint: Checkpoint, stored: Mapping[str, str]) -> dict[str, Tensor]:
    return {name: checkpoint.weights.tensors[key] for name, key in stored.items()}


def _of_folder(checkpoint: Checkpoint, component: str) -> Component:
    """A component as diffusers saves it: `config.json` names the class and its arguments."""
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    kinds = {
        "transformer": LTXVideoTransformer3DModel,
        "vae": AutoencoderKLLTXVideo,
        "latent_upsampler": LTXLatentUpsamplerModel,
    }
    kind, config = kinds[component], component_config(checkpoint.path)
    if config.get("_class_name") != kind.__name__:
        found = config.get("_class_name", "no config.json")
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} holds {found}, not {kind.__name__}")
    if "quantization_config" in config:
        raise UnsupportedCheckpoint(f"{checkpoint.path.name} is quantised: use the bfloat16 or fp8 file")
    stored = {name: name for name in checkpoint.weights.tensors}
    return Component(checkpoint, component, lambda: kind.from_config(config), stored)
