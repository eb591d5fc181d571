"""The transformer as a denoiser of a clip with guides, under rectified flow.

x_sigma = sigma * noise + (1 - sigma) * clip, the transformer predicts the velocity noise - clip, so
denoised = x - sigma * velocity (flow matching, Lipman et al., 2023). Tokens of a guide see the timestep
mask * sigma and enter un-noised where their mask is 0, which is what ComfyUI's inpainting wrapper does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actors.engines.diffusers.guidance import Forward, Guidance, Sides, shared
from actors.engines.diffusers.ltx_video.attention import AttentionState, log_weights
from actors.engines.diffusers.ltx_video.tokens import Sequence5D, latents_of, tokens_of
from actors.engines.diffusers.sequence import TokenSplit, projected_whole
from actors.ranks import Ranks

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
    ranks: Ranks | None = None

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
        prompts = self._prompts(asked)

        together = [which for which in asked if which is not Forward.PERTURBED]

        def run(forwards: Sequence[Forward], ranks: Ranks | None) -> list[Sides]:
            """In one run of the transformer, as a batch fills the device where single clips do not; but for a
            perturbed forward, which skips blocks."""
            found: dict[Forward, Sides] = {}
            split = TokenSplit(ranks, x[0, 0].numel()) if ranks else None
            plain = [which for which in forwards if which in together]
            for batch, rows in ((plain, len(together)), ([w for w in forwards if w not in together], 1)):
                if batch:
                    whole = len(batch) == rows
                    with nullcontext() if whole else in_batch_of(rows, self.transformer.time_embed):
                        made = self._velocities(x, sigma, batch, [prompts[which] for which in batch], split)
                    found |= {w: (x - one * sigma,) for w, one in zip(batch, made.split(1), strict=True)}
            return [found[which] for which in forwards]

        size = self.transformer.config.num_attention_heads, x[0, 0].numel()
        return shared(self.ranks, asked, run, (x,), size)

    def _prompts(self, asked: Sequence[Forward]) -> dict[Forward, Text]:
        """What each forward reads. Those that may share a batch have one length, wherever they are
        computed."""
        plain = [which for which in asked if which is not Forward.PERTURBED]
        padded = zip(plain, _padded([self.text[which] for which in plain]), strict=True)
        return {Forward.PERTURBED: self.text[Forward.POSITIVE], **dict[Forward, Text](padded)}

    def _velocities(
        self,
        x: Tensor,
        sigma: Tensor,
        asked: Sequence[Forward],
        texts: Sequence[Text],
        split: TokenSplit | None = None,
    ) -> Tensor:
        """`[len(asked), C, T + G, h, w]` float32. A perturbed forward comes alone."""
        perturbed = Forward.PERTURBED in asked
        self.attention.passthrough = self.guidance.at(sigma).blocks if perturbed else frozenset()
        weights = self.sequence.attention
        self.attention.guides = None if weights is None else log_weights(weights)
        self.attention.split = split
        timesteps, dtype, count = self._timesteps(sigma), self.transformer.dtype, len(asked)
        tokens, coords = tokens_of(x), self.sequence.coords
        if split is not None:
            tokens, coords = split.mine(tokens, 1), split.mine(coords, 2)
            timesteps = split.mine(timesteps, -1)
        with projected_whole(split, self.transformer.proj_out):
            made = self.transformer(
                hidden_states=tokens.to(dtype).expand(count, -1, -1),
                encoder_hidden_states=torch.cat([text.embeddings for text in texts]).to(dtype),
                timestep=timesteps.expand(count, *timesteps.shape[1:]),
                encoder_attention_mask=torch.cat([text.mask for text in texts]),
                video_coords=coords.expand(count, -1, -1),
                return_dict=False,
            )[0]
        return latents_of(made.float(), (count, *x.shape[1:]))

    def _timesteps(self, sigma: Tensor) -> Tensor:
        """`[1]`, or `[1, N]` where guides differ from the clip."""
        if self.sequence.mask is None:
            return torch.full((1,), float(sigma * _TIMESTEPS), device=self.sequence.latents.device)
        per_latent = self.sequence.mask * sigma
        per_token = per_latent.expand(-1, -1, -1, *self.sequence.latents.shape[3:]).flatten(1)
        return per_token * _TIMESTEPS


@contextmanager
def in_batch_of(rows: int, module: nn.Module) -> Iterator[None]:
    """Has `module` (timesteps `[B]` -> embeddings, a row each) give a single row the bits that it has in a
    batch of `rows`: kernels for one row sum in another order."""

    count = 0

    def widen(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        nonlocal count
        count = len(args[0])
        return (args[0].expand(rows), *args[1:]) if count == 1 else args

    def narrow(_module: nn.Module, _args: tuple[Tensor, ...], made: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(part[:count] for part in made)

    hooks = [module.register_forward_hook(narrow), module.register_forward_pre_hook(widen)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _padded(texts: Sequence[Text]) -> list[Text]:
    """All as long as the longest: shorter prompts are padded with tokens that nobody sees."""
    longest = max((text.mask.shape[1] for text in texts), default=0)
    missing = [longest - text.mask.shape[1] for text in texts]
    return [
        Text(F.pad(text.embeddings, (0, 0, 0, more)), F.pad(text.mask, (0, more)))
        for text, more in zip(texts, missing, strict=True)
    ]


def run_sampler(sampler: Sampler, denoiser: Denoiser, sigmas: Tensor, noises: Noises) -> Tensor:
    """Noise the sequence to the first sigma, integrate, and crop the guides: `[1, C, T, h, w]` float32.

    Noise is drawn on the CPU for the whole sequence, guides included.
    """
    start = denoiser.sequence.latents.float()
    if len(sigmas) < 2:
        return start[:, :, : denoiser.sequence.clip].clone()
    first, later = noises.sources([tuple(start.shape)], start.device)
    x = sigmas[0] * first()[0] + (1.0 - sigmas[0]) * start
    x = sampler(denoiser, x, sigmas, lambda: later()[0])
    # Sigmas that stop early leave the signal scaled down; what is held is as it was.
    x = x / (1.0 - sigmas[-1])
    if denoiser.sequence.mask is not None:
        x = torch.where(denoiser.sequence.mask == 0, start, x)
    return x[:, :, : denoiser.sequence.clip].clone()
