"""A small self-contained sampler for judging checkpoints while training; the farm's own engines are the real
ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

from actors.chain import Weights
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import TinyTokenizer
from jobs.frames import blend_weights, informed, takeover_weights
from tools.train_tiny.bank import decode, encode
from tools.train_tiny.dit import predict
from tools.train_tiny.geometry import guide_coords, rope, slot_coords
from tools.train_tiny.upsampler import upsample


def schedule(steps: int, tokens: int, terminal: float = 0.1, denoise: float = 1.0) -> torch.Tensor:
    """LTX-Video's sigmas [steps + 1]: shifted by the token count, stretched to `terminal`, the last `denoise`
    of them.
    """
    total = round(steps / denoise)
    shift = 0.95 + (2.05 - 0.95) * (tokens - 1024) / (4096 - 1024)
    sigmas = torch.linspace(1, 0, total + 1)[:-1]
    sigmas = math.exp(shift) / (math.exp(shift) + (1 / sigmas - 1))
    sigmas = 1 - (1 - sigmas) * (1 - terminal) / (1 - sigmas[-1])
    return torch.cat([sigmas, torch.zeros(1)])[-(steps + 1) :]


@dataclass(frozen=True)
class Guide:
    """Appended guide: normalised latents [B, 128, n, h, w], the pixel frame of each, and its denoise mask."""

    latents: torch.Tensor
    frames: Sequence[int]
    mask: float = 0.0


@dataclass(frozen=True)
class Settings:
    """Sampling parameters."""

    steps: int = 16
    cfg: float = 3.0
    ancestral: bool = False
    denoise: float = 1.0


@dataclass
class Models:
    """The four modules on one device."""

    transformer: LTXVideoTransformer3DModel
    text: TinyTextEncoder
    vae: AutoencoderKLLTXVideo
    upsampler: LTXLatentUpsamplerModel
    tokenizer: TinyTokenizer
    device: torch.device
    generator: torch.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.generator = torch.Generator(self.device).manual_seed(0)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Normalised latents -> clip [B, F, 3, H, W] in [0, 1]."""
        return ((decode(self.vae, latents).clamp(-1, 1) + 1) / 2).transpose(1, 2)

    def encode_still(self, image: torch.Tensor) -> torch.Tensor:
        """Images [B, 3, H, W] in [0, 1] -> normalised latents [B, 128, 1, h, w]."""
        return encode(self.vae, image[:, :, None] * 2 - 1)

    def upsample(self, latents: torch.Tensor) -> torch.Tensor:
        return upsample(self.vae, self.upsampler, latents)

    def noise(self, *shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=self.generator, device=self.device)

    def sample(
        self,
        prompts: Sequence[str],
        shape: tuple[int, int, int],
        settings: Settings,
        guides: Sequence[Guide] = (),
        start: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Sample latents [B, 128, T, h, w], `shape` = (T, h, w), by Euler steps with guidance.

        `start`: latents to begin from, noised to the first sigma of `settings.denoise`.
        """
        slots, height, width = shape
        sigmas = schedule(settings.steps, math.prod(shape), denoise=settings.denoise).tolist()
        count = len(prompts)
        x = self.noise(count, 128, *shape)
        if start is not None:
            x = (1 - sigmas[0]) * start + sigmas[0] * x
        known = [guide.latents for guide in guides]
        fixed = [self.noise(*latents.shape) for latents in known]
        coords = rope(
            torch.cat(
                [slot_coords(slots, height, width), *(guide_coords(g.frames, height, width) for g in guides)],
                2,
            )
        )
        coords = coords.to(self.device).expand(2 * count, -1, -1)
        words = self.text(torch.tensor(self.tokenizer.batch([*prompts, *[""] * count]), device=self.device))
        for sigma, following in pairwise(sigmas):
            pieces, levels = [x], [torch.full((count, slots), sigma, device=self.device)]
            for guide, latents, noise in zip(guides, known, fixed, strict=True):
                level = guide.mask * sigma
                pieces.append((1 - level) * latents + level * noise)
                levels.append(torch.full((count, latents.shape[2]), level, device=self.device))
            stacked = torch.cat(pieces, 2)
            velocity = predict(
                self.transformer,
                words,
                torch.cat([stacked] * 2),
                torch.cat([torch.cat(levels, 1)] * 2),
                coords,
            )
            with_prompt, without = velocity.float()[:, :, :slots].chunk(2)
            velocity = without + settings.cfg * (with_prompt - without)
            x = self._step(x, velocity, sigma, following, settings)
        return x

    def _step(
        self, x: torch.Tensor, velocity: torch.Tensor, sigma: float, following: float, settings: Settings
    ) -> torch.Tensor:
        """Euler, or the ancestral step for rectified flow (eta 1)."""
        if not settings.ancestral or following == 0:
            return x + (following - sigma) * velocity
        clean = x - sigma * velocity
        ratio = 1 + (following / sigma - 1)
        down = following * ratio
        alpha_next, alpha_down = 1 - following, 1 - down
        kick = (following**2 - down**2 * alpha_next**2 / alpha_down**2) ** 0.5
        moved = (down / sigma) * x + (1 - down / sigma) * clean
        return (alpha_next / alpha_down) * moved + self.noise(*x.shape) * kick


@dataclass(frozen=True)
class Take:
    """A long take: `windows[k]` is chunk k's decode window [start, stop) its latents with left context."""

    chain: torch.Tensor
    windows: list[tuple[int, int, int, torch.Tensor]]
    blend: int


def blend_onto(
    chain: torch.Tensor, chunk: torch.Tensor, overlap: int, weights: Weights = blend_weights
) -> torch.Tensor:
    """Append a sampled chunk [overlap + new] to a chain: drop slot 0, blend overlap - 1 latents, add the
    rest.
    """
    b = overlap - 1
    if b == 0:
        return torch.cat([chain, chunk[:, :, 1:]], 2)
    weight = torch.tensor(weights(b), device=chain.device).view(1, 1, -1, 1, 1)
    middle = chain[:, :, -b:] * (1 - weight) + chunk[:, :, 1 : 1 + b] * weight
    return torch.cat([chain[:, :, :-b], middle, chunk[:, :, 1 + b :]], 2)


def overlap_guide(chain: torch.Tensor, overlap: int, mask: float = 0.0) -> Guide:
    """The chain's last latents at position 0."""
    return Guide(chain[:, :, -overlap:], [max(0, 8 * i - 7) for i in range(overlap)], mask)


def _informed_guide(chain: torch.Tensor, overlap: int) -> Guide:
    """As the upscale stage guides: without the latent that did not see what follows."""
    count = informed(overlap)
    tail = chain[:, :, -overlap:][:, :, :count]
    return Guide(tail, [max(0, 8 * i - 7) for i in range(count)])


CONTEXT = 4


def long_take(
    models: Models,
    prompts: Sequence[str],
    shape: tuple[int, int, int],
    settings: Settings,
    extends: int,
    overlap: int = 2,
    new: int = 10,
) -> Take:
    """Generate, then `extends` times Extend."""
    chain = models.sample(prompts, shape, settings)
    windows = [(0, chain.shape[2], 0, chain)]
    for _ in range(extends):
        chunk = models.sample(prompts, (overlap + new, *shape[1:]), settings, [overlap_guide(chain, overlap)])
        start = chain.shape[2] - (overlap - 1)
        chain = blend_onto(chain, chunk, overlap)
        windows.append(_window(chain, start))
    return Take(chain, windows, overlap - 1)


def refine(models: Models, take: Take, prompts: Sequence[str], settings: Settings, overlap: int = 2) -> Take:
    """Upsample every window 2x and sample it again, guided by the refined chain's tail."""
    chain, windows = None, []
    for start, stop, left, latents in take.windows:
        if chain is None:
            larger = models.upsample(latents)
            chain = models.sample(prompts, tuple(larger.shape[2:]), settings, start=larger)
            windows.append((0, stop, 0, chain))
            continue
        low = left - (overlap - 1 - take.blend)
        larger = models.upsample(latents[:, :, low - 1 :])
        chunk = models.sample(
            prompts, tuple(larger.shape[2:]), settings, [_informed_guide(chain, overlap)], larger
        )
        chain = blend_onto(chain, chunk, overlap, takeover_weights)
        windows.append(_window(chain, start))
    assert chain is not None
    return Take(chain, windows, take.blend)


def _window(chain: torch.Tensor, start: int) -> tuple[int, int, int, torch.Tensor]:
    left = min(CONTEXT, start)
    return start, chain.shape[2], left, chain[:, :, start - left :].clone()


def film(models: Models, take: Take, index: int) -> torch.Tensor:
    """Decode one video of a take and cross-fade its windows: [F, 3, H, W] in [0, 1]."""
    fade = 8 * take.blend
    frames: torch.Tensor | None = None
    for _, _, left, latents in take.windows:
        clip = models.decode(latents[index : index + 1])[0]
        clip = clip[8 * left - 7 :] if left else clip
        if frames is None:
            frames = clip
            continue
        weight = ((torch.arange(fade, device=clip.device) + 1) / (fade + 1)).view(-1, 1, 1, 1)
        mixed = frames[len(frames) - fade :] * (1 - weight) + clip[:fade] * weight
        frames = torch.cat([frames[: len(frames) - fade], mixed, clip[fade:]])
    assert frames is not None
    return frames


def seams(take: Take) -> list[int]:
    """First frame of every cross-fade."""
    return [8 * start - 7 for start, _, _, _ in take.windows[1:]]
