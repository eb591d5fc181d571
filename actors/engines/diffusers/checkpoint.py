"""Original Lightricks single-file checkpoints -> diffusers modules, without network.

Such a file holds `model.diffusion_model.*` and `vae.*` and, in its metadata, a JSON `config` with the entries
`transformer` and `vae`. The bundled tiny model adds `text_encoder.*` and `latent_upsampler.*` with entries of
the same names. What diffusers needs is derived from that config; files from before it (0.9.0) are told by
their tensor shapes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

Config = Mapping[str, Any]
State = dict[str, torch.Tensor]

_TRANSFORMER = "model.diffusion_model."
_VAE = "vae."
_TRANSFORMER_NAMES = (
    ("patchify_proj", "proj_in"),
    ("adaln_single", "time_embed"),
    ("q_norm", "norm_q"),
    ("k_norm", "norm_k"),
)
_VAE_NAMES = (
    ("res_blocks", "resnets"),
    ("norm3.norm", "norm3"),
    ("conv_shortcut.", "conv_shortcut.conv."),
    ("per_channel_statistics.mean-of-means", "latents_mean"),
    ("per_channel_statistics.std-of-means", "latents_std"),
    ("last_time_embedder", "time_embedder"),
    ("last_scale_shift_table", "scale_shift_table"),
)


class UnsupportedCheckpoint(ValueError):
    """The file is no LTX-Video checkpoint, or has a block that the diffusers modules cannot express."""


@dataclass(frozen=True)
class Checkpoint:
    """An open single-file checkpoint: its path and the configs in its metadata (empty where it has none)."""

    path: Path
    configs: Config

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the header of `path`. Raises `UnsupportedCheckpoint` where it is not an LTX-Video file."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            keys = set(file.keys())
        if f"{_TRANSFORMER}patchify_proj.weight" not in keys:
            raise UnsupportedCheckpoint(
                f"{path.name} holds no LTX-Video transformer; name an LTX-Video single-file checkpoint"
            )
        if f"{_TRANSFORMER}audio_adaln_single.linear.weight" in keys:
            raise UnsupportedCheckpoint(
                f"{path.name} is an LTX-2 audio-video checkpoint; use `engine.name: comfyui` for it"
            )
        return cls(path, json.loads(metadata.get("config", "{}")))

    def state(self, prefix: str) -> State:
        """The tensors whose names start with `prefix`, without it."""
        with safe_open(self.path, framework="pt") as file:
            return {key[len(prefix) :]: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118

    def has(self, component: str) -> bool:
        """Whether the metadata describes `component` (`transformer`, `vae`, `text_encoder`,
        `latent_upsampler`).
        """
        return component in self.configs


def load_transformer(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXVideoTransformer3DModel:
    """The transformer with the file's weights, in `dtype` (default: as stored)."""
    state = rename(checkpoint.state(_TRANSFORMER), _TRANSFORMER_NAMES)
    config = checkpoint.configs.get("transformer") or _transformer_config_from_shapes(state)
    return _filled(build_transformer(config), state, dtype)


def load_vae(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> AutoencoderKLLTXVideo:
    """The video VAE with the file's weights, in `dtype` (default: as stored)."""
    original = checkpoint.state(_VAE)
    config = checkpoint.configs.get("vae") or _vae_config_from_shapes(original)
    return _filled(build_vae(config), vae_state(original, config), dtype)


def load_upsampler(checkpoint: Checkpoint, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """The latent upsampler that the bundled model carries."""
    return _filled(
        build_upsampler(checkpoint.configs["latent_upsampler"]), checkpoint.state("latent_upsampler."), dtype
    )


def load_upsampler_file(path: Path, dtype: torch.dtype | None = None) -> LTXLatentUpsamplerModel:
    """A latent upsampler that has a file of its own, its config in the metadata or told by its shapes."""
    with safe_open(path, framework="pt") as file:
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads((file.metadata() or {}).get("config", "null"))
    return _filled(build_upsampler(config or _upsampler_config_from_shapes(state)), state, dtype)


def build_transformer(config: Config) -> LTXVideoTransformer3DModel:
    """A transformer with fresh weights from an original `transformer` config."""
    from diffusers import LTXVideoTransformer3DModel

    if list(config.get("positional_embedding_max_pos", [20, 2048, 2048])) != [20, 2048, 2048]:
        raise UnsupportedCheckpoint(
            "diffusers fixes positional_embedding_max_pos at [20, 2048, 2048]; use the comfyui engine"
        )
    names = (
        "in_channels",
        "num_layers",
        "num_attention_heads",
        "attention_head_dim",
        "cross_attention_dim",
        "caption_channels",
    )
    return LTXVideoTransformer3DModel(
        **{name: config[name] for name in names if name in config},
        out_channels=config.get("out_channels") or config.get("in_channels", 128),
        norm_eps=config.get("norm_eps", 1e-6),
    )


def build_vae(config: Config) -> AutoencoderKLLTXVideo:
    """A video VAE with fresh weights from an original `vae` config."""
    from diffusers import AutoencoderKLLTXVideo

    return AutoencoderKLLTXVideo(
        **_encoder_arguments(config),
        **_decoder_arguments(config),
        in_channels=config.get("in_channels", 3),
        out_channels=config.get("out_channels", 3),
        latent_channels=config.get("latent_channels", 128),
        patch_size=config.get("patch_size", 4),
        timestep_conditioning=config.get("timestep_conditioning", False),
        scaling_factor=config.get("scaling_factor", 1.0),
        encoder_causal=True,
        decoder_causal=config.get("causal_decoder", False),
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )


def build_upsampler(config: Config) -> LTXLatentUpsamplerModel:
    """A latent upsampler with fresh weights from an original `LatentUpsampler` config."""
    from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

    if config.get("rational_resampler"):
        raise UnsupportedCheckpoint("diffusers has no rational resampler; use a 2x latent upsampler")
    names = (
        "in_channels",
        "mid_channels",
        "num_blocks_per_stage",
        "dims",
        "spatial_upsample",
        "temporal_upsample",
    )
    return LTXLatentUpsamplerModel(**{name: config[name] for name in names if name in config})


def rename(state: State, names: tuple[tuple[str, str], ...]) -> State:
    """`state` with every (old, new) pair of `names` replaced in its keys."""
    renamed = {}
    for key, tensor in state.items():
        for old, new in names:
            key = key.replace(old, new)
        renamed[key] = tensor
    return renamed


def vae_state(original: State, config: Config) -> State:
    """Keys of a VAE in the original layout -> keys of the diffusers VAE that `build_vae` makes."""
    moves = {
        f"encoder.down_blocks.{i}.": f"encoder.{to}."
        for i, to in enumerate(_encoder_places(_blocks(config, "encoder")))
    }
    moves |= {
        f"decoder.up_blocks.{i}.": f"decoder.{to}."
        for i, to in enumerate(_decoder_places(_blocks(config, "decoder")))
    }
    state = {}
    for key, tensor in original.items():
        if key.startswith("per_channel_statistics.") and not key.endswith(("mean-of-means", "std-of-means")):
            continue
        place = next((old for old in moves if key.startswith(old)), "")
        state[moves.get(place, "") + key[len(place) :]] = tensor
    return rename(state, _VAE_NAMES)


def original_vae_state(state: State, config: Config) -> State:
    """The inverse of `vae_state`, for writing a checkpoint."""
    places = {
        f"encoder.{to}.": f"encoder.down_blocks.{i}."
        for i, to in enumerate(_encoder_places(_blocks(config, "encoder")))
    }
    places |= {
        f"decoder.{to}.": f"decoder.up_blocks.{i}."
        for i, to in enumerate(_decoder_places(_blocks(config, "decoder")))
    }
    longest_first = sorted(places, key=len, reverse=True)
    original = {}
    for key, tensor in state.items():
        place = next((new for new in longest_first if key.startswith(new)), "")
        original[places.get(place, "") + key[len(place) :]] = tensor
    return rename(original, tuple((new, old) for old, new in reversed(_VAE_NAMES)))


def original_transformer_state(state: State) -> State:
    """Diffusers keys of a transformer -> keys of the original layout, without prefix."""
    return rename(state, tuple((new, old) for old, new in _TRANSFORMER_NAMES))


Block = tuple[str, dict[str, Any]]


def _blocks(config: Config, side: str) -> list[Block]:
    """The block list of one side in running order, each as (name, parameters)."""
    raw = config.get(f"{side}_blocks") or config["blocks"]
    blocks = [(name, dict(p) if isinstance(p, Mapping) else {"num_layers": p}) for name, p in raw]
    return blocks if side == "encoder" else blocks[::-1]


_DOWN_TYPES = {
    "compress_all": "conv",
    "compress_all_res": "spatiotemporal",
    "compress_space_res": "spatial",
    "compress_time_res": "temporal",
}


def _is_conv_encoder(blocks: list[Block]) -> bool:
    return any(name == "compress_all" for name, _ in blocks)


def _encoder_places(blocks: list[Block]) -> list[str]:
    """Where diffusers keeps each block of the original encoder, below `encoder.`."""
    places, stage = [], 0
    last_layers = max(i for i, (name, _) in enumerate(blocks) if name == "res_x")
    for i, (name, _) in enumerate(blocks):
        if i == last_layers:
            places.append("mid_block")
        elif name in _DOWN_TYPES:
            places.append(f"down_blocks.{stage}.downsamplers.0")
            stage += _next_is_layers(blocks, i)
        elif name == "res_x_y":
            places.append(f"down_blocks.{stage}.conv_out")
            stage += 1
        elif name == "res_x":
            places.append(f"down_blocks.{stage}")
        else:
            raise UnsupportedCheckpoint(f"diffusers has no encoder block {name!r}; use the comfyui engine")
    return places


def _next_is_layers(blocks: list[Block], i: int) -> bool:
    return i + 1 < len(blocks) and blocks[i + 1][0] == "res_x"


def _decoder_places(blocks: list[Block]) -> list[str]:
    """Where diffusers keeps each block of the original decoder (running order), below `decoder.`."""
    places, stage = ["mid_block"], 0
    for name, _ in blocks[1:]:
        if name == "compress_all":
            places.append(f"up_blocks.{stage}.upsamplers.0")
        elif name == "res_x_y":
            places.append(f"up_blocks.{stage}.conv_in")
        elif name == "res_x":
            places.append(f"up_blocks.{stage}")
            stage += 1
        else:
            raise UnsupportedCheckpoint(f"diffusers has no decoder block {name!r}; use the comfyui engine")
    if blocks[0][0] != "res_x" or stage == 0:
        raise UnsupportedCheckpoint("the decoder must start with res_x blocks; use the comfyui engine")
    return places


def _encoder_arguments(config: Config) -> dict[str, Any]:
    blocks = _blocks(config, "encoder")
    width = int(config.get("encoder_base_channels", 128))
    widths, layers, scaling, kinds = [width], [], [], []
    for i, (name, parameters) in enumerate(blocks):
        if name == "res_x":
            layers.append(parameters["num_layers"])
        if name.endswith("_res"):
            width *= parameters.get("multiplier", 2)
        if name == "res_x_y":
            width *= parameters.get("multiplier", 2)
            widths.append(width)
        if name in _DOWN_TYPES:
            scaling.append(True)
            kinds.append(_DOWN_TYPES[name])
            if blocks[i + 1][0] == "res_x":
                widths.append(width)
    if _is_conv_encoder(blocks):
        # The conv layout ends in two runs of res_x: a stage without downsampling, then the mid block.
        scaling.append(False)
        kinds.append("conv")
        block_type = "LTXVideoDownBlock3D"
    else:
        block_type = "LTXVideo095DownBlock3D"
    return {
        "block_out_channels": tuple(widths),
        "down_block_types": (block_type,) * len(kinds),
        "layers_per_block": tuple(layers),
        "spatio_temporal_scaling": tuple(scaling),
        "downsample_type": tuple(kinds),
    }


def _decoder_arguments(config: Config) -> dict[str, Any]:
    """Diffusers lists the decoder from the output inwards, so everything collected in running order is
    reversed.
    """
    blocks = _blocks(config, "decoder")
    factors, residual, scaling, layers, noise, ratios = [], [], [], [], [], []
    ups = 1
    for name, parameters in blocks:
        if name == "compress_all":
            ups *= parameters.get("multiplier", 1)
        if name == "res_x_y":
            ups *= parameters.get("multiplier", 2)
    width = int(config.get("decoder_base_channels", 128)) * ups
    widths: list[int] = []
    pending_up, pending_ratio = None, 1
    for i, (name, parameters) in enumerate(blocks):
        if name == "compress_all":
            pending_up = parameters
        elif name == "res_x_y":
            pending_ratio = parameters.get("multiplier", 2)
        else:
            layers.append(parameters["num_layers"])
            noise.append(bool(parameters.get("inject_noise", False)))
            if i == 0:
                continue
            factor = (pending_up or {}).get("multiplier", 1)
            width //= pending_ratio
            widths.append(width)
            width //= factor
            factors.append(factor)
            residual.append(bool((pending_up or {}).get("residual", False)))
            scaling.append(pending_up is not None)
            ratios.append(pending_ratio)
            pending_up, pending_ratio = None, 1
    return {
        "decoder_block_out_channels": tuple(reversed(widths)),
        "decoder_layers_per_block": tuple(reversed(layers)),
        "decoder_inject_noise": tuple(reversed(noise)),
        "decoder_spatio_temporal_scaling": tuple(reversed(scaling)),
        "upsample_residual": tuple(reversed(residual)),
        "upsample_factor": tuple(reversed(factors)),
    }


def _filled(module: Any, state: State, dtype: torch.dtype | None) -> Any:
    """Load `state` strictly and return the module in eval mode."""
    stored = next(iter(state.values())).dtype
    module.load_state_dict(state, strict=True)
    # The modules' own `to` warns of parts that must stay float32, and these have none.
    torch.nn.Module.to(module, dtype=dtype or stored)
    return module.eval().requires_grad_(False)


def _transformer_config_from_shapes(state: State) -> dict[str, Any]:
    """Configs of the files that carry none: the 2B model has 32 heads of 64."""
    layers = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("transformer_blocks."))
    inner = state["proj_in.weight"].shape[0]
    return {
        "in_channels": state["proj_in.weight"].shape[1],
        "num_layers": layers,
        "num_attention_heads": 32,
        "attention_head_dim": inner // 32,
        "cross_attention_dim": state["transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "caption_channels": state["caption_projection.linear_1.weight"].shape[1],
    }


def _vae_config_from_shapes(original: State) -> dict[str, Any]:
    """The 0.9.0 and 0.9.1 layouts, whose files say nothing about them."""
    stage: list[Any] = [["res_x", 3], ["compress_all", 1]]
    wider: list[Any] = [["res_x_y", 1]]
    conv = [["res_x", 4], ["compress_all", 1], *wider, *stage, *wider, *stage, ["res_x", 3], ["res_x", 4]]
    config: dict[str, Any] = {"encoder_blocks": conv, "decoder_blocks": conv}
    if "decoder.last_time_embedder.timestep_embedder.linear_1.weight" not in original:
        return config
    if (
        "encoder.down_blocks.1.conv.conv.bias" in original
        and original["encoder.conv_out.conv.weight"].shape[1] == 2048
    ):
        raise UnsupportedCheckpoint(
            "this file has no `config` metadata; download it again from its publisher"
        )
    decoder: list[Any] = []
    for layers, noisy in ((5, True), (6, True), (7, True)):
        decoder += [
            ["res_x", {"num_layers": layers, "inject_noise": noisy}],
            ["compress_all", {"residual": True, "multiplier": 2}],
        ]
    decoder.append(["res_x", {"num_layers": 8, "inject_noise": False}])
    return config | {"decoder_blocks": decoder, "timestep_conditioning": True}


def _upsampler_config_from_shapes(state: State) -> dict[str, Any]:
    weight = state["initial_conv.weight"]
    blocks = 1 + max(int(key.split(".")[1]) for key in state if key.startswith("res_blocks."))
    return {
        "in_channels": weight.shape[1],
        "mid_channels": weight.shape[0],
        "num_blocks_per_stage": blocks,
        "dims": weight.ndim - 2,
    }
