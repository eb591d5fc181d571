"""Stage 1: the video VAE, on short random clips at two sizes."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLLTXVideo
from diffusers.models.normalization import RMSNorm

from tools.train_tiny.modules import new_vae
from tools.train_tiny.training import Average, Clock, Run, cosine, save
from tools.train_tiny.world import Frame, Scenes, draw_scenes, render

SHAPES = (((128, 128), 33, 12, 0.7), ((256, 256), 17, 7, 0.3))
"""(height, width), frames, batch, share of the steps."""


@dataclass(frozen=True)
class Recipe:
    """Loss weights. The first pass is robust; the second (`--resume`) polishes: squared error, less latent
    noise.
    """

    absolute: float = 1.0
    squared: float = 2.0
    latent_noise: float = 0.12
    peak_lr: float = 2e-3
    object_weight: float = 12.0


POLISH = Recipe(absolute=0.2, squared=6.0, latent_noise=0.05, peak_lr=1.2e-3, object_weight=5.0)


def train_vae(
    run: Run, start: dict[str, torch.Tensor] | None = None, decoder_only: bool = False
) -> AutoencoderKLLTXVideo:
    """Train for `run.seconds`, store `vae.pt`, and return the averaged VAE with its latent statistics set.

    `decoder_only` keeps the latents as they are: for a polish after the transformer has learned them.
    """
    recipe = POLISH if start is not None else Recipe()
    vae = new_vae().to(run.device, memory_format=run.memory_format)
    if start is not None:
        vae.load_state_dict(start)
    vae.encoder.requires_grad_(not decoder_only)
    peak = run.peak_lr or recipe.peak_lr
    optimizer = torch.optim.AdamW(
        [p for p in vae.parameters() if p.requires_grad],
        lr=peak,
        betas=(0.9, 0.99),
        weight_decay=0.01,
        fused=True,
    )
    average = Average(vae, 0.999)
    _fuse_norms()
    generator = torch.Generator(run.device).manual_seed(run.seed)
    rng = random.Random(run.seed)
    clock = Clock(run.seconds, run.limit_steps)
    for step in clock.ticks():
        size, frames, batch, _ = (
            rng.choices(SHAPES, [s[3] for s in SHAPES])[0] if step >= 4 else SHAPES[step % 2]
        )
        clip, weight = _clips(Frame(*size), frames, run.batch(batch), generator, rng, recipe)
        clip = clip.contiguous(memory_format=run.memory_format)
        with run.autocast:
            mean = vae.encoder(clip)[:, :128].float()
            spread = (
                torch.rand(len(mean), 1, 1, 1, 1, device=run.device, generator=generator)
                * recipe.latent_noise
            )
            decoded = vae.decoder(mean + spread * torch.randn_like(mean)).float()
        error = decoded - clip
        pixel = ((recipe.absolute * error.abs() + recipe.squared * error.square()) * weight[:, None]).mean()
        scale = F.relu(mean.square().mean((0, 2, 3, 4)) - 1).mean()
        for group in optimizer.param_groups:
            group["lr"] = peak * cosine(clock.progress)
        optimizer.zero_grad()
        (pixel + 0.05 * scale).backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        average.update()
        if step == 7:
            clock.restart()
        clock.report(partial(_said, pixel, error))
        clock.save(lambda: save(run.folder / "vae-live.pt", {"vae": vae.state_dict()}))
    average.swap()
    if not decoder_only:
        set_statistics(vae, run, generator)
    save(run.folder / "vae.pt", {"vae": vae.state_dict()})
    for size in ((128, 128), (256, 256), (128, 192)):
        print(f"held-out clips {size}: {held_out_psnr(vae, run, Frame(*size)):.2f} dB", flush=True)
    return vae.eval().requires_grad_(False)


def _said(loss: torch.Tensor, error: torch.Tensor) -> str:
    return f"loss {loss.item():.4f}  psnr {psnr(error).item():.2f} dB"


def _fuse_norms() -> None:
    """Let the VAE's channel norms run as one kernel in the activations' own precision."""

    def forward(norm: RMSNorm, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.rms_norm(x, x.shape[-1:], norm.weight, norm.eps)

    RMSNorm.forward = forward


def psnr(error: torch.Tensor) -> torch.Tensor:
    """PSNR in dB of an error between clips in [-1, 1]."""
    return 10 * torch.log10(4 / error.square().mean())


def _clips(
    frame: Frame, frames: int, batch: int, generator: torch.Generator, rng: random.Random, recipe: Recipe
) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch [B, 3, F, H, W] and its pixel weights [B, F, H, W]: the object and its rim count more."""
    scenes = draw_scenes(batch, frame, generator)
    when = torch.arange(frames, device=generator.device) + rng.randrange(200)
    clip, cover = render(scenes, when, frame)
    rim = 2 * (frame.short // 32) + 1
    dilated = F.max_pool2d(cover, rim, stride=1, padding=rim // 2)
    return clip, 1 + recipe.object_weight * dilated


@torch.no_grad()
def set_statistics(vae: AutoencoderKLLTXVideo, run: Run, generator: torch.Generator) -> None:
    """Store the per-channel mean and standard deviation of latents, over both sizes."""
    rows = []
    for size in ((128, 128), (256, 256), (128, 192)):
        for _ in range(4):
            scenes = draw_scenes(run.batch(32), Frame(*size), generator)
            clip, _ = render(scenes, torch.arange(49, device=run.device), Frame(*size))
            with run.autocast:
                rows.append(vae.encoder(clip)[:, :128].float().transpose(0, 1).flatten(1))
    latents = torch.cat(rows, dim=1)
    vae.latents_mean.copy_(latents.mean(1))
    vae.latents_std.copy_(latents.std(1).clamp(min=1e-2))
    std = latents.std(1)
    print(f"latent std: min {std.min():.3f} mean {std.mean():.3f} max {std.max():.3f}")


@torch.no_grad()
def held_out_psnr(vae: AutoencoderKLLTXVideo, run: Run, frame: Frame, clips: int = 16) -> float:
    """Mean PSNR over fresh 97-frame clips from a seed that training never uses."""
    generator = torch.Generator(run.device).manual_seed(987654321)
    scenes = draw_scenes(run.batch(clips), frame, generator)
    values = []
    for i in range(len(scenes)):
        clip, _ = render(_one(scenes, i), torch.arange(97, device=run.device), frame)
        with run.autocast:
            decoded = vae.decoder(vae.encoder(clip)[:, :128]).float()
        values.append(psnr(decoded.clamp(-1, 1) - clip))
    return float(torch.stack(values).mean())


def _one(scenes: Scenes, i: int) -> Scenes:
    return scenes.pick(slice(i, i + 1))
