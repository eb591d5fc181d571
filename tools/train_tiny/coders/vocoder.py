"""The vocoder, on mel spectrograms from the audio VAE: no adversary, spectra at several resolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from tools.train_tiny.coders.audio_vae import decode_mel, encode_mel
from tools.train_tiny.modules import new_vocoder
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.procedural.sound import (
    HOP,
    OUTPUT_RATE,
    SAMPLE_RATE,
    log_mel,
    mel_frames,
    random_notes,
    synthesise,
)
from tools.train_tiny.training import Average, Clock, Recorder, Run, cosine, save

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTX2Audio
    from diffusers.pipelines.ltx2.vocoder import LTX2Vocoder

LATENTS, BATCH = 20, 24
"""Audio latents per piece (0.8 s), pieces per step."""
WINDOWS = (128, 256, 512, 1024, 2048)
RISE_WINDOW, RISE_STEPS = 512, 3
"""Spectra of 21 ms, and the 16 ms over which they rise: what a listener takes for the beginning of a note."""
LATENT_NOISE = 0.12
PEAK_LR = 2e-3


def train_vocoder(run: Run, vae: AutoencoderKLLTX2Audio) -> LTX2Vocoder:
    """Train for `run.seconds`, store `vocoder.safetensors`, and return the averaged vocoder."""
    vocoder = new_vocoder().to(run.device)
    training = _Training(run, vae, vocoder)
    record, clock = Recorder(run.device), Clock(run.seconds, run.limit_steps)
    for _ in clock.ticks():
        training.optimiser.set_rate(cosine(clock.progress))
        record("step", training.step)
        clock.report(training.said)
    training.average.swap()
    save(run.folder, {"vocoder": vocoder.state_dict()})
    return vocoder.eval().requires_grad_(False)


class _Training:
    def __init__(self, run: Run, vae: AutoencoderKLLTX2Audio, vocoder: LTX2Vocoder) -> None:
        self.run, self.vae, self.vocoder = run, vae, vocoder
        self.optimiser, self.average = Optimiser([vocoder], run.peak_lr or PEAK_LR), Average(vocoder, 0.999)
        self.windows = [torch.hann_window(n, device=run.device) for n in WINDOWS]
        self.errors = torch.ones(3, device=run.device)

    def step(self) -> None:
        """One update on a batch of pieces, by latents that are a little wrong, as a transformer's are."""
        run = self.run
        with torch.no_grad():
            mel, wave = pieces(run.batch(BATCH), run)
            with run.autocast:
                tokens = encode_mel(self.vae, mel)
                wrong = LATENT_NOISE * torch.rand(len(mel), 1, 1, device=run.device)
                mel = decode_mel(self.vae, tokens + wrong * torch.randn_like(tokens))
        ours = self.vocoder(mel)
        spectra, shape = self._spectra(ours, wave), (ours - wave).abs().mean()
        rises = self._rises(ours, wave)
        self.optimiser.zero_grad()
        (spectra + rises + 10 * shape).backward()
        self.optimiser.step()
        self.average.update()
        self.errors.lerp_(torch.stack([spectra, rises, shape]).detach(), 0.02)

    def _spectra(self, ours: torch.Tensor, wave: torch.Tensor) -> torch.Tensor:
        """Mean over the resolutions of the difference of magnitudes, plain and as logarithms."""
        total = ours.new_zeros(())
        ours, wave = _with_middle(ours), _with_middle(wave)
        for window in self.windows:
            a, b = (_magnitudes(x.flatten(0, 1), window) for x in (ours, wave))
            plain = (a - b).square().mean().sqrt() / (b.square().mean().sqrt() + 1e-3)
            total = total + plain + ((a + 1e-3).log() - (b + 1e-3).log()).abs().mean()
        return total / len(self.windows)

    def _rises(self, ours: torch.Tensor, wave: torch.Tensor) -> torch.Tensor:
        """Difference of how the magnitudes rise and fall, as a share of how they do: faint noise over many
        bins counts as much as a note.
        """
        window = self.windows[WINDOWS.index(RISE_WINDOW)]
        a, b = (_magnitudes(x.flatten(0, 1), window) for x in (ours, wave))
        a, b = (x[:, :, RISE_STEPS:] - x[:, :, :-RISE_STEPS] for x in (a, b))
        return (a - b).abs().mean() / (b.abs().mean() + 1e-5)

    def said(self) -> str:
        return "spectra {:.4f}  rises {:.4f}  wave {:.5f}".format(*self.errors.tolist())


def _with_middle(wave: torch.Tensor) -> torch.Tensor:
    """`[B, 2, n]` -> `[B, 3, n]`: both sides and their mean, where they may cancel out."""
    return torch.cat([wave, wave.mean(1, keepdim=True)], dim=1)


def _magnitudes(wave: torch.Tensor, window: torch.Tensor) -> torch.Tensor:
    spectrum = torch.stft(wave, len(window), len(window) // 4, window=window, return_complex=True)
    real = torch.view_as_real(spectrum).square().sum(-1)
    return (real + 1e-9).sqrt() / len(window) * 4


def pieces(count: int, run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    """Log mels [B, 2, M, 64] from the middle of longer sounds, and their waveforms [B, 2, 240 * M]."""
    frames, before = mel_frames(LATENTS), 8
    whole_s = (frames + 2 * before) * HOP / SAMPLE_RATE
    notes = random_notes(count, whole_s, run.generator)
    mel = log_mel(synthesise(notes, (frames + 2 * before) * HOP, SAMPLE_RATE))[:, :, before : before + frames]
    start_s, samples = before * HOP / SAMPLE_RATE, frames * HOP * OUTPUT_RATE // SAMPLE_RATE
    return mel, synthesise(notes, samples, OUTPUT_RATE, start_s)
