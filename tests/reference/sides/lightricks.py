"""Lightricks' own pipeline on a reduced file, run step by step at a noise that is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ltx_video.models.autoencoders.causal_video_autoencoder import CausalVideoAutoencoder
from ltx_video.models.autoencoders.latent_upsampler import LatentUpsampler
from ltx_video.models.autoencoders.vae_encode import latent_to_pixel_coords, vae_decode, vae_encode
from ltx_video.models.transformers.symmetric_patchifier import SymmetricPatchifier
from ltx_video.models.transformers.transformer3d import Transformer3DModel
from ltx_video.pipelines.pipeline_ltx_video import (
    ConditioningItem,
    LTXMultiScalePipeline,
    LTXVideoPipeline,
    adain_filter_latent,
)
from ltx_video.schedulers.rf import RectifiedFlowScheduler
from ltx_video.utils.skip_layer_strategy import SkipLayerStrategy
from torch import Tensor

__all__ = ["ConditioningItem", "Lightricks", "Words", "adain_filter_latent"]

Words = tuple[Tensor, Tensor]
"""Embeddings `[1, S, D]` and mask `[1, S]` of a prompt."""


class Recorded(LTXVideoPipeline):
    """The pipeline with its noise given, its posterior's mode taken and its steps kept.

    `appended` are latents `[1, C, t, h, w]` at frame 0 that ride along behind the clip, as ComfyUI's
    LTXVAddGuide gives images and overlaps; the pipeline's own items replace the clip's first latents.
    """

    noise: Tensor
    appended: Tensor | None = None
    steps: list[Tensor]

    def prepare_latents(self, latents: Tensor | None, *_: Any, timestep: Tensor, **__: Any) -> Tensor:
        return self.noise if latents is None else timestep * self.noise + (1 - timestep) * latents

    def denoising_step(self, *args: Any, **kwargs: Any) -> Tensor:
        latents = super().denoising_step(*args, **kwargs)
        self.steps.append(latents)
        return latents

    def prepare_conditioning(
        self, conditioning_items: Any, init_latents: Tensor, *args: Any, **more: Any
    ) -> Any:
        if self.appended is None:
            return super().prepare_conditioning(conditioning_items, init_latents, *args, **more)
        causal = self.transformer.config.causal_temporal_positioning
        clip, coords = self.patchifier.patchify(latents=init_latents)
        guide, guide_coords = self.patchifier.patchify(latents=self.appended)
        places = [
            latent_to_pixel_coords(guide_coords, self.vae, causal_fix=True),
            latent_to_pixel_coords(coords, self.vae, causal_fix=causal),
        ]
        mask = torch.cat([torch.ones(guide.shape[:2]), torch.zeros(clip.shape[:2])], dim=1)
        return torch.cat([guide, clip], dim=1), torch.cat(places, dim=2), mask, guide.shape[1]


@dataclass
class Lightricks:
    """What Lightricks' code reads from one single file."""

    vae: CausalVideoAutoencoder
    transformer: Transformer3DModel
    scheduler: RectifiedFlowScheduler
    upsampler: LatentUpsampler

    @classmethod
    def load(cls, path: Path, upsampler: Path) -> Lightricks:
        return cls(
            _modal(CausalVideoAutoencoder.from_pretrained(path).eval()),
            Transformer3DModel.from_pretrained(path).eval(),
            RectifiedFlowScheduler.from_pretrained(path),
            LatentUpsampler.from_pretrained(upsampler).eval(),
        )

    def run(
        self,
        noise: Tensor,
        positive: Words,
        negative: Words,
        appended: Tensor | None = None,
        items: Sequence[ConditioningItem] = (),
        latents: Tensor | None = None,
        **settings: Any,
    ) -> list[Tensor]:
        """The clip `[1, C, T, h, w]` after every step."""
        pipeline = self.pipeline(noise, appended)
        _, _, frames, height, width = noise.shape
        with torch.no_grad():
            pipeline(
                height=32 * height,
                width=32 * width,
                num_frames=8 * (frames - 1) + 1,
                prompt_embeds=positive[0],
                prompt_attention_mask=positive[1],
                negative_prompt_embeds=negative[0],
                negative_prompt_attention_mask=negative[1],
                negative_prompt=None,
                conditioning_items=list(items) or None,
                latents=latents,
                skip_layer_strategy=SkipLayerStrategy.AttentionValues,
                output_type="latent",
                is_video=True,
                vae_per_channel_normalize=True,
                **{"stg_scale": 0.0, "rescaling_scale": 1.0, **settings},
            )
        clips = [tokens[:, -noise[0, 0].numel() :] for tokens in pipeline.steps]
        return [clip.transpose(1, 2).reshape(noise.shape) for clip in clips]

    def pipeline(self, noise: Tensor, appended: Tensor | None = None) -> Recorded:
        pipeline = Recorded(
            tokenizer=None,
            text_encoder=None,
            vae=self.vae,
            transformer=self.transformer,
            scheduler=self.scheduler,
            patchifier=SymmetricPatchifier(patch_size=1),
            prompt_enhancer_image_caption_model=None,
            prompt_enhancer_image_caption_processor=None,
            prompt_enhancer_llm_model=None,
            prompt_enhancer_llm_tokenizer=None,
        )
        pipeline.set_progress_bar_config(disable=True)
        pipeline.noise, pipeline.appended, pipeline.steps = noise, appended, []
        return pipeline

    def encode(self, pixels: Tensor) -> Tensor:
        """`[1, 3, F, H, W]` in [-1, 1] -> normalised latents."""
        with torch.no_grad():
            return vae_encode(pixels, self.vae, vae_per_channel_normalize=True)

    def decode(self, latents: Tensor, timestep: float, noise_scale: float, seed: int) -> Tensor:
        """As the pipeline ends: noise mixed in where the decoder is told of it. `[1, 3, F, H, W]`."""
        torch.manual_seed(seed)
        when = None
        if self.vae.decoder.timestep_conditioning:
            latents = latents * (1 - noise_scale) + torch.randn_like(latents) * noise_scale
            when = torch.tensor([timestep])
        with torch.no_grad():
            return vae_decode(latents, self.vae, True, vae_per_channel_normalize=True, timestep=when)

    def upsampled(self, latents: Tensor) -> Tensor:
        """Twice the height and width, with the first pass's statistics per channel."""
        multi = LTXMultiScalePipeline(self.pipeline(latents), self.upsampler)
        with torch.no_grad():
            larger = multi._upsample_latents(self.upsampler, latents)
        return adain_filter_latent(latents=larger, reference_latents=latents)


def _modal(vae: CausalVideoAutoencoder) -> CausalVideoAutoencoder:
    """The VAE with the mode where the pipeline would draw from the posterior: ComfyUI takes it, too."""
    encode = vae.encode

    def encoded(*args: Any, **kwargs: Any) -> Any:
        made = encode(*args, **kwargs)
        made.latent_dist.sample = made.latent_dist.mode
        return made

    vae.encode = encoded
    return vae
