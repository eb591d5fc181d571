"""What the transformer is asked for in training: the velocity between noise and what a film shows and sounds
like, with known parts as its makers hand them over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from tools.train_tiny.modules import SOUND, new_connectors, new_text_encoder
from tools.train_tiny.transformer import fast

if TYPE_CHECKING:
    from diffusers import LTX2VideoTransformer3DModel

    from tools.train_tiny.training import Run
    from tools.train_tiny.transformer.layout import Example, Plan


class Words(nn.Module):
    """Text encoder and connectors: ids [B, W] -> what the picture and the sound read."""

    def __init__(self) -> None:
        super().__init__()
        self.text, self.connectors = new_text_encoder(), new_connectors()

    def forward(self, ids: torch.Tensor) -> fast.Context:
        states, mask = self.text(ids)
        picture, sound, _ = self.connectors(states, mask.long())
        return fast.Context(picture, sound, mask)


class Both(nn.Module):
    """All that is trained here."""

    def __init__(self, transformer: LTX2VideoTransformer3DModel, words: Words) -> None:
        super().__init__()
        self.transformer, self.words = transformer, words

    @property
    def parts(self) -> dict[str, nn.Module]:
        return {
            "transformer": self.transformer,
            "text_encoder": self.words.text,
            "connectors": self.words.connectors,
        }


def noise_levels(count: int, tokens: int, device: torch.device) -> torch.Tensor:
    """Training sigmas [B]: three in five logit-normal with the schedule's token-dependent shift, one in ten
    uniform, and three in ten close to 1, where a sample decides which way its object goes.

    Between noise and a clip the evidence for a heading grows with the square of 1 - sigma: at 128 x 128
    pixels it is plain from about 0.97 down, so only above that does a sampler ask the words.
    """
    shift = 0.5 + (tokens / 3072) * 1.1
    normal = torch.randn(count, device=device)
    uniform, kind = torch.rand(2, count, device=device)
    high = torch.sigmoid(1.5 * normal + 4.0)
    return torch.where(kind < 0.1, uniform, torch.where(kind < 0.4, high, torch.sigmoid(normal + shift)))


def _levels(plan: Plan, count: int, tokens: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise levels [B] of picture and sound: mostly the same, 0 where one of them is given."""
    seen = noise_levels(count, tokens, device)
    alone = torch.sigmoid(1.2 * torch.randn(count, device=device) + 0.7)
    heard = torch.where(torch.rand(count, device=device) < (0.6 if plan.seen else 0.15), alone, seen)
    return (torch.zeros_like(seen) if plan.seen else seen), (torch.zeros_like(heard) if plan.heard else heard)


def flow_loss(
    run: Run, both: Both, plan: Plan, example: Example, imitate: bool
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean squared velocity errors over what is sampled of picture and sound."""
    clean = example.clean
    seen, heard = _levels(plan, len(clean), clean[0, 0].numel(), clean.device)
    noise, hiss = torch.randn_like(clean), _hiss(example.sound)
    known = example if not imitate else _estimated(run, both, plan, example)
    shown, played = _disturbed(known)
    with run.autocast:
        words = both.words(example.ids)
        picture = _noised(shown, noise, example, seen)
        audio = _noised_sound(played, hiss, example, heard)
        velocity, sound_velocity = fast.velocity(both.transformer, words, picture, audio, plan.apart)
    error = (velocity.float() - (noise - example.clean)).square().mean((1, 3, 4))
    sound_error = (sound_velocity.float() - (hiss - example.sound))[:, :, :SOUND].square().mean(2)
    return _mean(error, example.mask), _mean(sound_error, example.sound_mask)


def _hiss(sound: torch.Tensor) -> torch.Tensor:
    """Noise like `sound` [B, L, 128], of the numbers that mean something."""
    hiss = torch.randn_like(sound)
    hiss[:, :, SOUND:] = 0
    return hiss


def _mean(error: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of error [B, T] where `mask` says that it is sampled."""
    sampled = (mask == 1).float()
    return (error * sampled).sum() / sampled.sum().clamp(min=1)


def _noised(shown: torch.Tensor, noise: torch.Tensor, example: Example, level: torch.Tensor) -> fast.Picture:
    sigma = example.mask * level[:, None]
    at = sigma[:, None, :, None, None]
    return fast.Picture((1 - at) * shown + at * noise, sigma, level, example.coords, example.marks)


def _noised_sound(
    played: torch.Tensor, hiss: torch.Tensor, example: Example, level: torch.Tensor
) -> fast.Sound:
    sigma = example.sound_mask * level[:, None]
    at = sigma[:, :, None]
    return fast.Sound((1 - at) * played + at * hiss, sigma, level, example.sound_coords)


def _disturbed(example: Example) -> tuple[torch.Tensor, torch.Tensor]:
    """Picture and sound with undisclosed noise in what half of the examples know, as a long chain of extends
    accumulates faults.
    """
    shown, played = example.clean, example.sound
    device, count = shown.device, len(shown)
    strength = 0.15 * torch.rand(count, 1, device=device) * (torch.rand(count, 1, device=device) < 0.5)
    fault = torch.where(example.mask < 1, strength, 0.0)
    hum = torch.where(example.sound_mask < 1, strength, 0.0)
    shown = shown + fault[:, None, :, None, None] * torch.randn_like(shown)
    return shown, played + hum[:, :, None] * _hiss(played)


@torch.no_grad()
def _estimated(run: Run, both: Both, plan: Plan, example: Example) -> Example:
    """The example with its overlap replaced by what the model makes of it when all is noised alike.

    It has an autocast of its own: weights cast while no gradient is recorded would be used without one.
    """
    clean, sound = example.clean, example.sound
    level = 0.2 + 0.45 * torch.rand(len(clean), device=clean.device)
    mask, sound_mask = torch.ones_like(example.mask), torch.ones_like(example.sound_mask)
    whole = replace(example, mask=mask, sound_mask=sound_mask)
    picture = _noised(clean, torch.randn_like(clean), whole, level)
    audio = _noised_sound(sound, _hiss(sound), whole, level)
    with run.autocast:
        velocity, hissing = fast.velocity(both.transformer, both.words(example.ids), picture, audio)
    guess = picture.latents - level[:, None, None, None, None] * velocity.float()
    heard = audio.latents - level[:, None, None] * hissing.float()
    clean = torch.cat([guess[:, :, : plan.known], clean[:, :, plan.known :]], 2)
    return replace(
        example, clean=clean, sound=torch.where((example.sound_mask < 1)[:, :, None], heard, sound)
    )
