"""Stage 1: the video VAE, on short random clips at two sizes."""

from __future__ import annotations

import math
import random
from functools import partial
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.models.normalization import RMSNorm

from tools.train_tiny.modules import new_vae
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.procedural.world import Frame, Scenes, draw_scenes, render
from tools.train_tiny.training import Average, Clock, Recorder, Run, State, cosine, save

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo

SHAPES = (((128, 128), 33, 12, 0.65), ((256, 256), 17, 7, 0.35))
"""(height, width), frames, batch, share of the steps."""
LATENT_NOISE = 0.1
OBJECT_WEIGHT = 8.0
PEAK_LR = 2e-3


def train_vae(run: Run, start: State | None = None, decoder_only: bool = False) -> AutoencoderKLLTXVideo:
    """Train for `run.seconds`, store `vae.safetensors`, and return the averaged VAE with its latent
    statistics set.

    `decoder_only` keeps the latents as they are: for a polish after the transformer has learned them.
    """
    vae = new_vae().to(run.device, memory_format=run.memory_format)
    if start is not None:
        vae.load_state_dict(start)
    vae.encoder.requires_grad_(not decoder_only)
    fuse_norms()
    training = _Training(run, vae, Optimiser([vae], run.peak_lr or PEAK_LR), Average(vae, 0.999))
    record, rng, clock = Recorder(run.device), random.Random(run.seed), Clock(run.seconds, run.limit_steps)
    for step in clock.ticks():
        index = step if step < len(SHAPES) else rng.choices(range(len(SHAPES)), [s[3] for s in SHAPES])[0]
        training.plan(clock.progress)
        record(index, partial(training.step, index))
        if step == len(SHAPES) - 1 and run.device.type == "cuda":
            clock.restart()
        clock.report(training.said)
    training.average.swap()
    if not decoder_only:
        set_statistics(vae, run)
    save(run.folder, {"vae": vae.state_dict()})
    for size in ((128, 128), (256, 256), (128, 192)):
        print(f"held-out clips {size}: {held_out_psnr(vae, run, Frame(*size)):.2f} dB", flush=True)
    return vae.eval().requires_grad_(False)


class _Training:
    """The modules and running figures that every step shares."""

    def __init__(self, run: Run, vae: AutoencoderKLLTXVideo, optimiser: Optimiser, average: Average) -> None:
        self.run, self.vae, self.optimiser, self.average = run, vae, optimiser, average
        self.late = torch.zeros((), device=run.device)
        self.errors = torch.full((len(SHAPES),), 0.01, device=run.device)

    def plan(self, progress: float) -> None:
        """Set the learning rate, and how far the loss has moved from absolute to squared error."""
        self.optimiser.set_rate(cosine(progress))
        self.late.fill_(progress)

    def step(self, index: int) -> None:
        """One update on clips of `SHAPES[index]`."""
        run, vae = self.run, self.vae
        size, frames, batch, _ = SHAPES[index]
        clip, weight = _clips(Frame(*size), frames, run.batch(batch), run)
        clip = clip.contiguous(memory_format=run.memory_format)
        with run.autocast:
            mean = vae.encoder(clip)[:, :128].float()
            spread = torch.rand(len(mean), 1, 1, 1, 1, device=run.device) * LATENT_NOISE
            decoded = vae.decoder(mean + spread * torch.randn_like(mean)).float()
        error = decoded - clip
        pixel = (1 - 0.9 * self.late) * error.abs() + (2 + 4 * self.late) * error.square()
        scale = F.relu(mean.square().mean((0, 2, 3, 4)) - 1).mean()
        self.optimiser.zero_grad()
        ((pixel * weight[:, None]).mean() + 0.05 * scale).backward()
        self.optimiser.step()
        self.average.update()
        self.errors[index].lerp_(error.detach().square().mean(), 0.02)

    def said(self) -> str:
        return "  ".join(f"{10 * math.log10(4 / e):.2f} dB" for e in self.errors.tolist())


def fuse_norms() -> None:
    """Let the VAE's channel norms run as one kernel in the activations' own precision."""

    def forward(norm: RMSNorm, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return F.rms_norm(x, x.shape[-1:], norm.weight, norm.eps)

    RMSNorm.forward = forward


def psnr(error: torch.Tensor) -> torch.Tensor:
    """PSNR in dB of an error between clips in [-1, 1]."""
    return 10 * torch.log10(4 / error.square().mean())


def _clips(frame: Frame, frames: int, batch: int, run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch [B, 3, F, H, W] and its pixel weights [B, F, H, W]: the object and its rim count more."""
    scenes = draw_scenes(batch, frame, run.generator)
    when = torch.arange(frames, device=run.device) + torch.randint(200, (1,), device=run.device)
    clip, cover = render(scenes, when, frame)
    rim = 2 * (frame.short // 32) + 1
    dilated = F.max_pool2d(cover, rim, stride=1, padding=rim // 2)
    return clip, 1 + OBJECT_WEIGHT * dilated


@torch.no_grad()
def set_statistics(vae: AutoencoderKLLTXVideo, run: Run) -> None:
    """Store the per-channel mean and standard deviation of latents, over three sizes."""
    rows = []
    for size in ((128, 128), (256, 256), (128, 192)):
        for _ in range(4):
            scenes = draw_scenes(run.batch(32), Frame(*size), run.generator)
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
