"""The configurations that published LTX-Video files carry in their metadata, and what reduces them.

Sources:

- transformers: Lightricks/LTX-Video `ltx_video/utils/diffusers_config_mapping.py` (2B), huggingface/diffusers
  `scripts/convert_ltx_to_diffusers.py` (13B: 48 layers of 32 heads of 128);
- VAEs: the same mapping (0.9.0), ComfyUI `comfy/ldm/lightricks/vae/causal_video_autoencoder.py`,
  `VideoVAE.guess_config` (0.9.1 and 0.9.5, which later versions kept);
- schedulers: the same mapping (shifted), huggingface/diffusers `pipelines/ltx/pipeline_ltx_condition.py`
  (linear, then quadratic, from 0.9.5 on);
- steps of distilled files: Lightricks/LTX-Video `configs/ltxv-13b-0.9.8-distilled.yaml`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]

TRANSFORMER_2B: Config = {
    "_class_name": "Transformer3DModel",
    "activation_fn": "gelu-approximate",
    "attention_bias": True,
    "attention_head_dim": 64,
    "attention_type": "default",
    "caption_channels": 4096,
    "cross_attention_dim": 2048,
    "double_self_attention": False,
    "dropout": 0.0,
    "in_channels": 128,
    "norm_elementwise_affine": False,
    "norm_eps": 1e-06,
    "norm_num_groups": 32,
    "num_attention_heads": 32,
    "num_embeds_ada_norm": 1000,
    "num_layers": 28,
    "num_vector_embeds": None,
    "only_cross_attention": False,
    "out_channels": 128,
    "project_to_2d_pos": True,
    "upcast_attention": False,
    "use_linear_projection": False,
    "qk_norm": "rms_norm",
    "standardization_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "positional_embedding_theta": 10000.0,
    "positional_embedding_max_pos": [20, 2048, 2048],
    "timestep_scale_multiplier": 1000,
}
CAUSAL_2B: Config = {**TRANSFORMER_2B, "causal_temporal_positioning": True}
CAUSAL_13B: Config = {**CAUSAL_2B, "attention_head_dim": 128, "cross_attention_dim": 4096, "num_layers": 48}

_VAE: Config = {
    "_class_name": "CausalVideoAutoencoder",
    "dims": 3,
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 128,
    "scaling_factor": 1.0,
    "norm_layer": "pixel_norm",
    "patch_size": 4,
    "latent_log_var": "uniform",
    "use_quant_conv": False,
    "causal_decoder": False,
}
_CONV = [
    ["res_x", 4], ["compress_all", 1], ["res_x_y", 1], ["res_x", 3], ["compress_all", 1], ["res_x_y", 1],
    ["res_x", 3], ["compress_all", 1], ["res_x", 3], ["res_x", 4],
]  # fmt: skip
_UP = ["compress_all", {"residual": True, "multiplier": 2}]


def _layers(count: int, **more: Any) -> list[Any]:
    return ["res_x", {"num_layers": count, **more}]


def _decoder(*layers: tuple[int, bool]) -> list[Any]:
    blocks: list[Any] = []
    for index, (count, noise) in enumerate(layers):
        blocks += [*([_UP] if index else []), _layers(count, inject_noise=noise)]
    return blocks


VAE_090: Config = {**_VAE, "blocks": _CONV}
VAE_091: Config = {
    **_VAE,
    "encoder_blocks": [
        _layers(4), ["compress_all", {}], ["res_x_y", 1], _layers(3), ["compress_all", {}], ["res_x_y", 1],
        _layers(3), ["compress_all", {}], _layers(3), _layers(4),
    ],
    "decoder_blocks": _decoder((5, True), (6, True), (7, True), (8, False)),
    "timestep_conditioning": True,
}  # fmt: skip
VAE_095: Config = {
    **_VAE,
    "encoder_blocks": [
        _layers(4), ["compress_space_res", {"multiplier": 2}], _layers(6),
        ["compress_time_res", {"multiplier": 2}], _layers(6), ["compress_all_res", {"multiplier": 2}],
        _layers(2), ["compress_all_res", {"multiplier": 2}], _layers(2),
    ],
    "decoder_blocks": _decoder((5, False), (5, False), (5, False), (5, False)),
    "normalize_latent_channels": False,
    "timestep_conditioning": True,
}  # fmt: skip

SHIFTED: Config = {
    "_class_name": "RectifiedFlowScheduler",
    "num_train_timesteps": 1000,
    "shifting": "SD3",
    "base_resolution": None,
    "target_shift_terminal": 0.1,
}
LINEAR_QUADRATIC: Config = {
    "_class_name": "RectifiedFlowScheduler",
    "num_train_timesteps": 1000,
    "shifting": None,
    "sampler": "LinearQuadratic",
}
DISTILLED_STEPS = [1.0, 0.9937, 0.9875, 0.9812, 0.975, 0.9094, 0.725, 0.4219]

UPSAMPLER: Config = {
    "_class_name": "LatentUpsampler",
    "in_channels": 128,
    "mid_channels": 512,
    "num_blocks_per_stage": 4,
    "dims": 3,
    "spatial_upsample": True,
    "temporal_upsample": False,
}


@dataclass(frozen=True)
class Published:
    """One published single file: what its metadata says of each part."""

    name: str
    transformer: Config
    vae: Config
    scheduler: Config
    allowed_steps: list[float] | None = None

    @property
    def causal(self) -> bool:
        """Whether the first latent counts as one frame."""
        return bool(self.transformer.get("causal_temporal_positioning"))

    @property
    def config(self) -> Config:
        """The metadata entry `config`."""
        steps = {} if self.allowed_steps is None else {"allowed_inference_steps": self.allowed_steps}
        return {"transformer": self.transformer, "vae": self.vae, "scheduler": self.scheduler, **steps}

    def reduced(self, head: int = 0, caption: int = 64) -> Published:
        """The same layout, 256 wide and 3 layers deep, with a VAE an eighth as wide. Heads are as wide as
        published, or `head` wide: without metadata loaders take it that there are 32, and core that captions
        are 4096 wide."""
        head = head or self.transformer["attention_head_dim"]
        transformer = {
            **self.transformer,
            "attention_head_dim": head,
            "num_attention_heads": 256 // head,
            "cross_attention_dim": 256,
            "caption_channels": caption,
            "num_layers": 3,
        }
        vae = {**self.vae, "encoder_base_channels": 16, "decoder_base_channels": 16}
        return Published(self.name, transformer, vae, self.scheduler, self.allowed_steps)


PUBLISHED = {
    model.name: model
    for model in (
        Published("2b-0.9.0", TRANSFORMER_2B, VAE_090, SHIFTED),
        Published("2b-0.9.1", TRANSFORMER_2B, VAE_091, SHIFTED),
        Published("2b-0.9.5", CAUSAL_2B, VAE_095, LINEAR_QUADRATIC),
        Published("2b-0.9.6-dev", CAUSAL_2B, VAE_095, LINEAR_QUADRATIC),
        Published("2b-0.9.6-distilled", CAUSAL_2B, VAE_095, LINEAR_QUADRATIC, DISTILLED_STEPS),
        Published("13b-0.9.7-dev", CAUSAL_13B, VAE_095, LINEAR_QUADRATIC),
        Published("13b-0.9.7-distilled", CAUSAL_13B, VAE_095, LINEAR_QUADRATIC, DISTILLED_STEPS),
        Published("2b-0.9.8-distilled", CAUSAL_2B, VAE_095, LINEAR_QUADRATIC, DISTILLED_STEPS),
        Published("13b-0.9.8-dev", CAUSAL_13B, VAE_095, LINEAR_QUADRATIC),
        Published("13b-0.9.8-distilled", CAUSAL_13B, VAE_095, LINEAR_QUADRATIC, DISTILLED_STEPS),
    )
}
"""Every published single file of LTX-Video, by parameters, version and kind."""
