"""Components of LTX-2 as diffusers' pipelines take them, and as the farm denoises with them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RATE = 24.0


def drawn(*shape: int, seed: int) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def narrow_model(path: Path) -> Model:
    """LTX-2.5 in a narrow file with the published names, loaded by the farm."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2 import components
    from tests.official.ltx2_files import write_narrow

    opened = Checkpoint.open(write_narrow(path, "2.5"))
    parts = {
        name: getattr(components, f"{name}_component")(opened).load(torch.float32)
        for name in ("transformer", "connectors", "vae", "audio_vae", "vocoder")
    }
    mask = torch.zeros(1, 128, dtype=torch.long)
    mask[:, -40:] = 1
    others = {"scheduler": FlowMatchEulerDiscreteScheduler(), "text_encoder": None, "tokenizer": None}
    return Model({**parts, **others}, drawn(1, 128, 64 * 3, seed=5), mask)


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

    def run(self, kind: Any, sigmas: Sequence[float], *, parts: Any = None, **settings: Any) -> Any:
        """The latents that a pipeline of diffusers makes, of these components or with those in `parts`."""
        import torch

        pipeline = kind(**{**self.parts, **(parts or {})})
        pipeline.set_progress_bar_config(disable=True)
        return pipeline(
            sigmas=list(sigmas),
            frame_rate=settings.pop("frame_rate", RATE),
            prompt_embeds=self.states,
            prompt_attention_mask=self.mask,
            output_type="latent",
            generator=torch.Generator().manual_seed(1),
            **settings,
        )

    def normalised(self, latents: Any) -> Any:
        from actors.engines.diffusers.codec import VideoCodec

        return VideoCodec(self.parts["vae"]).normalize(latents)

    def raw(self, latents: Any) -> Any:
        from actors.engines.diffusers.codec import VideoCodec

        return VideoCodec(self.parts["vae"]).unnormalize(latents)

    def normalised_sound(self, latents: Any) -> Any:
        vae = self.parts["audio_vae"]
        normalised = (_tokens(latents) - vae.latents_mean) / vae.latents_std
        return normalised.unflatten(2, (8, 16)).transpose(1, 2)

    def raw_sound(self, latents: Any) -> Any:
        vae = self.parts["audio_vae"]
        raw = _tokens(latents) * vae.latents_std + vae.latents_mean
        return raw.unflatten(2, (8, 16)).transpose(1, 2)

    def denoise(
        self, pieces: list[Any], sound: Any, sigmas: tuple[float, ...], sampler: Any = None
    ) -> tuple[list[Any], Any]:
        """What the farm makes from the noise that a pipeline starts from; `sampler` is Euler's, or one that
        draws more, for which the caller has to take care."""
        import torch

        from actors.engines.diffusers.ltx2.denoise import Pass, denoise
        from actors.engines.diffusers.samplers import euler
        from actors.engines.noise import ClipNoise

        generator = torch.Generator().manual_seed(1)
        sizes = (sum(piece.latents[0, 0].numel() for piece in pieces), sound.latents.shape[2])
        noise = torch.cat([torch.randn(1, size, 128, generator=generator) for size in sizes], dim=1)
        run = Pass(torch.tensor((*sigmas, 0.0)), RATE, ClipNoise(0), sampler or euler)
        drawn_here = None if sampler else noise
        return denoise(self.transformer, run, pieces, sound, self.words(), drawn_here)


def _tokens(latents: Any) -> Any:
    return latents.transpose(1, 2).flatten(2)
