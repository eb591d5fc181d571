"""Components of LTX-2 as diffusers' pipelines take them, and as the farm denoises with them."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

RATE = 24.0


@dataclass(frozen=True)
class Model:
    """Components of diffusers' pipelines, and the farm's view of them."""

    parts: dict[str, Any]
    states: Any
    mask: Any

    @property
    def transformer(self) -> Any:
        from actors.engines.diffusers.ltx2 import block
        from actors.engines.diffusers.ltx2.denoise import Transformer

        module = copy.deepcopy(self.parts["transformer"])  # diffusers' own keeps its blocks
        return Transformer(module, block.install(module), clean_frozen_sound=True)

    def words(self) -> dict[Any, Any]:
        from actors.engines.diffusers.guidance import Forward
        from actors.engines.diffusers.ltx2.denoise import Context

        video, audio, _ = self.parts["connectors"](self.states, self.mask, padding_side="left")
        return {Forward.POSITIVE: Context(video, audio)}

    def run(self, kind: Any, sigmas: tuple[float, ...], **settings: Any) -> Any:
        """The latents that a pipeline of diffusers makes."""
        import torch

        pipeline = kind(**self.parts)
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(
            sigmas=list(sigmas),
            frame_rate=RATE,
            prompt_embeds=self.states,
            prompt_attention_mask=self.mask,
            output_type="latent",
            generator=torch.Generator().manual_seed(1),
            **settings,
        )

    def normalised(self, latents: Any) -> Any:
        from actors.engines.diffusers.codec import VideoCodec

        return VideoCodec(self.parts["vae"]).normalize(latents)

    def denoise(self, pieces: list[Any], sound: Any, sigmas: tuple[float, ...]) -> tuple[list[Any], Any]:
        import torch

        from actors.engines.diffusers.ltx2.denoise import Pass, denoise
        from actors.engines.diffusers.samplers import euler
        from actors.engines.noise import ClipNoise

        generator = torch.Generator().manual_seed(1)
        sizes = (sum(piece.latents[0, 0].numel() for piece in pieces), sound.latents.shape[2])
        noise = torch.cat([torch.randn(1, size, 128, generator=generator) for size in sizes], dim=1)
        run = Pass(torch.tensor((*sigmas, 0.0)), RATE, ClipNoise(0), euler)
        return denoise(self.transformer, run, pieces, sound, self.words(), noise)
