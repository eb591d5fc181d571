"""Stage 3: the latent 2x upsampler, on the same clips encoded at 128 and at 256 pixels."""

from __future__ import annotations

import random
from functools import partial

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLLTXVideo
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

from tools.train_tiny.bank import decode, encode
from tools.train_tiny.modules import new_upsampler
from tools.train_tiny.training import Average, Clock, Run, State, cosine, save
from tools.train_tiny.vae import psnr
from tools.train_tiny.world import Frame, Scenes, draw_scenes, render

SMALL, LARGE = Frame(128, 128), Frame(256, 256)


def upsample(
    vae: AutoencoderKLLTXVideo, upsampler: LTXLatentUpsamplerModel, latents: torch.Tensor
) -> torch.Tensor:
    """Normalised latents -> normalised latents of twice the height and width."""
    mean, std = vae.latents_mean.view(1, -1, 1, 1, 1), vae.latents_std.view(1, -1, 1, 1, 1)
    return (upsampler(latents * std + mean).float() - mean) / std


def train_upsampler(
    run: Run, vae: AutoencoderKLLTXVideo, start: State | None = None
) -> LTXLatentUpsamplerModel:
    """Train for `run.seconds` on pairs that are encoded on the fly, and store `upsampler.pt`."""
    model = new_upsampler().to(run.device)
    if start is not None:
        model.load_state_dict(start)
    peak = run.peak_lr or 1e-3
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.01, fused=True
    )
    average = Average(model, 0.999)
    generator = torch.Generator(run.device).manual_seed(run.seed + 4)
    clock, rng = Clock(run.seconds, run.limit_steps), random.Random(run.seed)
    pairs: list[tuple[torch.Tensor, torch.Tensor]] = []
    for step in clock.ticks():
        if len(pairs) < 192 or step % 4 == 0:
            pairs.append(_pair(vae, run, generator, rng))
            pairs = pairs[-192:]
        small, large = rng.choice(pairs)
        small = small + 0.06 * torch.rand(len(small), 1, 1, 1, 1, device=run.device) * torch.randn_like(small)
        with run.autocast:
            error = upsample(vae, model, small) - large
        loss = error.abs().mean() + error.square().mean()
        for group in optimizer.param_groups:
            group["lr"] = peak * cosine(clock.progress)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        average.update()
        clock.report(partial(_said, loss))
    average.swap()
    save(run.folder / "upsampler.pt", {"latent_upsampler": model.state_dict()})
    gain = upsampler_gain(vae, model, run)
    print(f"upsampler {gain[0]:.2f} dB, bicubic {gain[1]:.2f} dB", flush=True)
    return model.eval().requires_grad_(False)


def _said(loss: torch.Tensor) -> str:
    return f"loss {loss.item():.4f}"


@torch.no_grad()
def _pair(
    vae: AutoencoderKLLTXVideo, run: Run, generator: torch.Generator, rng: random.Random
) -> tuple[torch.Tensor, torch.Tensor]:
    scenes: Scenes = draw_scenes(run.batch(16), SMALL, generator)
    when = torch.arange(33, device=run.device) + rng.randrange(100)
    with run.autocast:
        small, large = (encode(vae, render(scenes, when, frame)[0]) for frame in (SMALL, LARGE))
    return small, large


@torch.no_grad()
def upsampler_gain(
    vae: AutoencoderKLLTXVideo, model: LTXLatentUpsamplerModel, run: Run
) -> tuple[float, float]:
    """PSNR in dB against the 256-pixel truth: latents upsampled then decoded, and decoded then enlarged
    bicubically.
    """
    generator = torch.Generator(run.device).manual_seed(123456789)
    when, rows = torch.arange(49, device=run.device), []
    for _ in range(max(1, run.batch(16))):
        scenes = draw_scenes(1, SMALL, generator)
        truth = render(scenes, when, LARGE)[0]
        with run.autocast:
            latents = encode(vae, render(scenes, when, SMALL)[0])
            ours, small = decode(vae, upsample(vae, model, latents)), decode(vae, latents)
        frames = F.interpolate(small[0].transpose(0, 1), size=(256, 256), mode="bicubic", align_corners=False)
        rows.append(
            (psnr(ours.clamp(-1, 1) - truth), psnr(frames.transpose(0, 1)[None].clamp(-1, 1) - truth))
        )
    return float(sum(r[0] for r in rows) / len(rows)), float(sum(r[1] for r in rows) / len(rows))
