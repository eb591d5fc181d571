"""The audio VAE, on short random pieces of sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tools.train_tiny.modules import SOUND, SOUND_CHANNELS, new_audio_vae
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.procedural.sound import mel_of, random_notes
from tools.train_tiny.training import Average, Clock, Recorder, Run, cosine, save

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio

LATENTS, BATCH = 40, 24
"""Audio latents per piece (1.6 s), pieces per step."""
LATENT_NOISE = 0.12
PEAK_LR = 2e-3


def encode_mel(vae: AutoencoderKLLTX2Audio, mel: torch.Tensor) -> torch.Tensor:
    """Log mel [B, 2, 4L - 3, 64] -> normalised audio tokens [B, L, 128] float32."""
    tokens = to_tokens(vae.encoder(mel)[:, :8].float())
    return (tokens - vae.latents_mean) / vae.latents_std


def decode_mel(vae: AutoencoderKLLTX2Audio, tokens: torch.Tensor) -> torch.Tensor:
    """Normalised audio tokens [B, L, 128] -> log mel [B, 2, 4L - 3, 64] float32."""
    latents = tokens * vae.latents_std + vae.latents_mean
    mel: torch.Tensor = vae.decoder(latents.unflatten(2, (8, -1)).transpose(1, 2)).float()
    return mel


def to_tokens(latents: torch.Tensor) -> torch.Tensor:
    """[B, 8, L, 16] -> [B, L, 128]."""
    return latents.transpose(1, 2).flatten(2)


def train_audio_vae(run: Run) -> AutoencoderKLLTX2Audio:
    """Train for `run.seconds`, store `audio_vae.safetensors`, and return the averaged VAE with its statistics
    set.
    """
    vae = new_audio_vae().to(run.device)
    training = _Training(run, vae)
    record, clock = Recorder(run.device), Clock(run.seconds, run.limit_steps)
    for _ in clock.ticks():
        training.optimiser.set_rate(cosine(clock.progress))
        record("step", training.step)
        clock.report(training.said)
    training.average.swap()
    set_statistics(vae, run)
    save(run.folder, {"audio_vae": vae.state_dict()})
    print(f"held-out sounds: {held_out_error(vae, run):.3f} nepers off", flush=True)
    return vae.eval().requires_grad_(False)


class _Training:
    def __init__(self, run: Run, vae: AutoencoderKLLTX2Audio) -> None:
        self.run, self.vae = run, vae
        self.optimiser, self.average = Optimiser([vae], run.peak_lr or PEAK_LR), Average(vae, 0.999)
        self.errors = torch.ones(2, device=run.device)

    def step(self) -> None:
        """One update on a batch of pieces: what sounds counts more than silence."""
        run, vae = self.run, self.vae
        with torch.no_grad():
            notes = random_notes(run.batch(BATCH), LATENTS / 25, run.generator)
            mel = mel_of(notes, LATENTS)
        with run.autocast:
            mean = vae.encoder(mel)[:, :8].float()
            noise = torch.randn_like(mean)
            noise[:, SOUND_CHANNELS:] = 0
            spread = torch.rand(len(mean), 1, 1, 1, device=run.device) * LATENT_NOISE
            decoded = vae.decoder(mean + spread * noise).float()
        error = decoded - mel
        weight = 1 + 4 * (mel > -8).float()
        scale = (to_tokens(mean).square().mean((0, 1)) - 1).clamp(min=0).mean()
        loss = (weight * (error.abs() + 0.2 * error.square())).mean() + 0.05 * scale
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.average.update()
        self.errors.lerp_(torch.stack([error.abs().mean(), scale]).detach(), 0.02)

    def said(self) -> str:
        return "off {:.4f}  scale {:.3f}".format(*self.errors.tolist())


@torch.no_grad()
def set_statistics(vae: AutoencoderKLLTX2Audio, run: Run) -> None:
    """Store the mean and the standard deviation of each of the 128 numbers of a token."""
    rows = []
    for _ in range(16):
        with run.autocast:
            mel = mel_of(random_notes(run.batch(BATCH), 4.0, run.generator), 97)
            rows.append(to_tokens(vae.encoder(mel)[:, :8].float()).flatten(0, 1))
    tokens = torch.cat(rows)
    vae.latents_mean.copy_(tokens.mean(0))
    std = tokens.std(0)[:SOUND]
    vae.latents_std.fill_(1.0)
    vae.latents_std[:SOUND] = std.clamp(min=1e-2)
    print(f"audio latent std: min {std.min():.3f} mean {std.mean():.3f} max {std.max():.3f}")


@torch.no_grad()
def held_out_error(vae: AutoencoderKLLTX2Audio, run: Run) -> float:
    """Mean difference of log mels where there is sound, from a seed that training never uses."""
    notes = random_notes(run.batch(64), 4.0, torch.Generator(run.device).manual_seed(987654321))
    mel = mel_of(notes, 97)
    with run.autocast:
        decoded = decode_mel(vae, encode_mel(vae, mel))
    heard = mel > -8
    return float((decoded - mel).abs()[heard].mean())
