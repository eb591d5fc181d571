"""The transformer as a denoiser of a clip with guides, under rectified flow.

x_sigma = sigma * noise + (1 - sigma) * clip, the transformer predicts the velocity noise - clip, so
denoised = x - sigma * velocity (flow matching, Lipman et al., 2023). Tokens of a guide see the timestep
mask * sigma and enter un-noised where their mask is 0, which is what ComfyUI's inpainting wrapper does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from actors.engines.diffusers.guidance import Forward, Guidance, Sides
from actors.engines.diffusers.ltx_video.attention import AttentionState, log_weights
from actors.engines.diffusers.ltx_video.tokens import Sequence5D, latents_of, tokens_of

if TYPE_CHECKING:
    from actors.engines.diffusers.samplers import Sampler
    from actors.engines.noise import Noises

_TIMESTEPS = 1000.0


@dataclass(frozen=True)
class Text:
    """Embeddings `[1, S, D]` and mask `[1, S]` of one prompt."""

    embeddings: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Denoiser:
    """Denoises one sequence with one guider; callable as a sampler wants it."""

    transformer: Any
    attention: AttentionState
    sequence: Sequence5D
    text: Mapping[Forward, Text]
    guidance: Guidance

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Denoised `[1, C, T + G, h, w]` float32; held guides come back unchanged, bit for bit."""
        mask, known = self.sequence.mask, self.sequence.latents
        if mask is not None:
            x = x * mask + known * (1.0 - mask)
        denoised = self.guidance(partial(self._denoised, x, sigma), (x,), sigma)[0]
        if mask is not None:
            denoised = denoised * mask + known * (1.0 - mask)
        return denoised

    def _denoised(self, x: Tensor, sigma: Tensor, *asked: Forward) -> list[Sides]:
        """The forwards in one run of the transformer: a batch fills the device where single clips do not."""
        return [(x - velocity * sigma,) for velocity in self._velocities(x, sigma, asked).split(1)]

    def _velocities(self, x: Tensor, sigma: Tensor, asked: Sequence[Forward]) -> Tensor:
        """`[len(asked), C, T + G, h, w]` float32. A perturbed forward comes alone: it skips blocks."""
        perturbed = Forward.PERTURBED in asked
        self.attention.passthrough = self.guidance.at(sigma).blocks if perturbed else frozenset()
        weights = self.sequence.attention
        self.attention.guides = None if weights is None else log_weights(weights)
        texts = [self.text[Forward.POSITIVE if which is Forward.PERTURBED else which] for which in asked]
        embeddings, mask = _batched(texts)
        timesteps, dtype, count = self._timesteps(sigma), self.transformer.dtype, len(asked)
        tokens = self.transformer(
            hidden_states=tokens_of(x).to(dtype).expand(count, -1, -1),
            encoder_hidden_states=embeddings.to(dtype),
            timestep=timesteps.expand(count, *timesteps.shape[1:]),
            encoder_attention_mask=mask,
            video_coords=self.sequence.coords.expand(count, -1, -1),
            return_dict=False,
        )[0]
        return latents_of(tokens.float(), (count, *x.shape[1:]))

    def _timesteps(self, sigma: Tensor) -> Tensor:
        """`[1]`, or `[1, N]` where guides differ from the clip."""
        if self.sequence.mask is None:
            return torch.full((1,), float(sigma * _TIMESTEPS), device=self.sequence.latents.device)
        per_latent = self.sequence.mask * sigma
        per_token = per_latent.expand(-1, -1, -1, *self.sequence.latents.shape[3:]).flatten(1)
        return per_token * _TIMESTEPS


def _batched(texts: Sequence[Text]) -> tuple[Tensor, Tensor]:
    """Embeddings `[B, S, D]` and mask `[B, S]`: shorter prompts are padded with tokens that nobody sees."""
    longest = max(text.mask.shape[1] for text in texts)
    missing = [longest - text.mask.shape[1] for text in texts]
    embeddings = [F.pad(text.embeddings, (0, 0, 0, more)) for text, more in zip(texts, missing, strict=True)]
    masks = [F.pad(text.mask, (0, more)) for text, more in zip(texts, missing, strict=True)]
    return torch.cat(embeddings), torch.cat(masks)


def run_sampler(sampler: Sampler, denoiser: Denoiser, sigmas: Tensor, noises: Noises) -> Tensor:
    """Noise the sequence to the first sigma, integrate, and crop the guides: `[1, C, T, h, w]` float32.

    Noise is drawn on the CPU for the whole sequence, guides included.
    """
    start = denoiser.sequence.latents.float()
    if len(sigmas) < 2:
        return start[:, :, : denoiser.sequence.clip].clone()
    first, later = noises.sources(start)
    x = sigmas[0] * first() + (1.0 - sigmas[0]) * start
    x = sampler(denoiser, x, sigmas, later)
    # Sigmas that stop early leave the signal scaled down.
    x = x / (1.0 - sigmas[-1])
    return x[:, :, : denoiser.sequence.clip].clone()
