"""The latent upsamplers, spatial and temporal, on the same clips encoded small and large."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

from tools.train_tiny.coders.vae import psnr
from tools.train_tiny.modules import new_temporal_upsampler, new_upsampler
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.procedural.world import Frame, Scenes, draw_scenes, render
from tools.train_tiny.training import Average, Clock, Recorder, Run, State, cosine, save
from tools.train_tiny.transformer.bank import decode, encode

if TYPE_CHECKING:
    from diffusers import AutoencoderKLLTXVideo

PAIRS, PAIRS_PER_REFRESH = 1024, 16
PIXELS_FROM = 0.4
"""Progress from which on decoded frames are compared."""
PEAK_LR = 2e-3


@dataclass(frozen=True)
class Kind:
    """One upsampler. A clip of `frames` frames of size `small`, one every world frame, becomes one of size
    `large` with `per_frame` frames for every step between two.
    """

    name: str
    new: Callable[[], LTX2LatentUpsamplerModel]
    small: Frame
    large: Frame
    frames: int
    per_frame: int = 1

    def pair(self, scenes: Scenes, start: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The same clips small and large [B, 3, F, H, W], from world frame `start` on."""
        when = torch.arange(self.frames, device=start.device)
        finer = torch.arange((self.frames - 1) * self.per_frame + 1, device=start.device) / self.per_frame
        return render(scenes, start + when, self.small)[0], render(scenes, start + finer, self.large)[0]


SPATIAL = Kind("latent_upsampler", new_upsampler, Frame(128, 128), Frame(256, 256), 17)
TEMPORAL = Kind("temporal_upsampler", new_temporal_upsampler, Frame(128, 128), Frame(128, 128), 33, 2)
KINDS = {"upsampler": SPATIAL, "temporal": TEMPORAL}


def upsample(
    vae: AutoencoderKLLTXVideo, upsampler: LTX2LatentUpsamplerModel, latents: torch.Tensor
) -> torch.Tensor:
    """Normalised latents -> normalised latents of twice the height and width, or of 2T - 1 slots."""
    mean, std = vae.latents_mean.view(1, -1, 1, 1, 1), vae.latents_std.view(1, -1, 1, 1, 1)
    return (upsampler(latents * std + mean).float() - mean) / std


def train_upsampler(
    run: Run, vae: AutoencoderKLLTXVideo, kind: Kind, start: State | None = None
) -> LTX2LatentUpsamplerModel:
    """Train for `run.seconds` on pairs of latents, and store `<kind.name>.safetensors`.

    The first part compares latents; the second also compares what the frozen decoder makes of them.
    """
    model = kind.new().to(run.device)
    if start is not None:
        model.load_state_dict(start)
    training = _Training(run, vae, model, kind)
    record, clock = Recorder(run.device), Clock(run.seconds, run.limit_steps)
    for _ in range(-(-len(training.small) // PAIRS_PER_REFRESH)):
        record("pairs", training.refresh)
    for step in clock.ticks():
        training.optimiser.set_rate(cosine(clock.progress))
        if clock.progress < PIXELS_FROM:
            record("latents", training.compare_latents)
        else:
            record("pixels", training.compare_pixels)
        if step % 4 == 0:
            record("pairs", training.refresh)
        clock.report(training.said)
    training.average.swap()
    save(run.folder, {kind.name: model.state_dict()})
    gain = upsampler_gain(vae, model, run, kind)
    print(f"{kind.name} {gain[0]:.2f} dB, interpolated frames {gain[1]:.2f} dB", flush=True)
    return model.eval().requires_grad_(False)


class _Training:
    """The modules and a bank of pairs: the same clips encoded small and large [N, 128, t, h, w]."""

    def __init__(
        self, run: Run, vae: AutoencoderKLLTXVideo, model: LTX2LatentUpsamplerModel, kind: Kind
    ) -> None:
        self.run, self.vae, self.model, self.kind = run, vae, model, kind
        self.optimiser = Optimiser([model], run.peak_lr or PEAK_LR)
        self.average = Average(model, 0.999)
        pairs = max(PAIRS_PER_REFRESH, run.batch(PAIRS))
        slots = (kind.frames + 7) // 8
        finer = (slots - 1) * kind.per_frame + 1
        small, large = kind.small, kind.large
        self.small = torch.zeros(pairs, 128, slots, small.height // 32, small.width // 32, device=run.device)
        self.large = torch.zeros(pairs, 128, finer, large.height // 32, large.width // 32, device=run.device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=run.device)
        self.losses = torch.ones(2, device=run.device)

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode new clips over the oldest pairs."""
        device = self.run.device
        scenes = draw_scenes(PAIRS_PER_REFRESH, self.kind.small, self.run.generator)
        clips = self.kind.pair(scenes, torch.randint(200, (1,), device=device))
        with self.run.autocast:
            small, large = (encode(self.vae, clip) for clip in clips)
        where = (torch.arange(PAIRS_PER_REFRESH, device=device) + self.cursor) % len(self.small)
        self.small[where] = small
        self.large[where] = large
        self.cursor.add_(PAIRS_PER_REFRESH)

    def compare_latents(self) -> None:
        """One update by the latents alone."""
        ours, large = self._enlarged(128)
        error = ours - large
        self._update(error.abs().mean() + error.square().mean(), 0)

    def compare_pixels(self) -> None:
        """One update by the decoded frames, and a little by the latents."""
        ours, large = self._enlarged(12)
        with self.run.autocast:
            with torch.no_grad():
                wanted = decode(self.vae, large)
            error = decode(self.vae, ours) - wanted
        self._update(20 * error.square().mean() + 0.1 * (ours - large).square().mean(), 1)

    def _enlarged(self, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Some pairs, the small one lightly noised and enlarged by the model."""
        device = self.run.device
        some = torch.randint(len(self.small), (self.run.batch(count),), device=device)
        small, large = self.small[some], self.large[some]
        small = small + 0.03 * torch.rand(len(small), 1, 1, 1, 1, device=device) * torch.randn_like(small)
        with self.run.autocast:
            ours = upsample(self.vae, self.model, small)
        return ours, large

    def _update(self, loss: torch.Tensor, kind: int) -> None:
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.average.update()
        self.losses[kind].lerp_(loss.detach(), 0.02)

    def said(self) -> str:
        return "  ".join(f"{loss:.4f}" for loss in self.losses.tolist())


@torch.no_grad()
def upsampler_gain(
    vae: AutoencoderKLLTXVideo, model: LTX2LatentUpsamplerModel, run: Run, kind: Kind
) -> tuple[float, float]:
    """PSNR in dB against the large truth: latents upsampled then decoded, and decoded then enlarged
    (bicubic in space, linear in time).
    """
    generator = torch.Generator(run.device).manual_seed(123456789)
    start, rows = torch.zeros(1, device=run.device), []
    for _ in range(max(1, run.batch(16))):
        scenes = draw_scenes(1, kind.small, generator)
        small, truth = kind.pair(scenes, start)
        with run.autocast:
            latents = encode(vae, small)
            ours, plain = decode(vae, upsample(vae, model, latents)), decode(vae, latents)
        rows.append((psnr(ours.clamp(-1, 1) - truth), psnr(_enlarged(plain, truth).clamp(-1, 1) - truth)))
    return float(sum(r[0] for r in rows) / len(rows)), float(sum(r[1] for r in rows) / len(rows))


def _enlarged(clip: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A clip [1, 3, F, H, W] at the size of another, without any model."""
    if clip.shape[2] != like.shape[2]:
        return F.interpolate(clip, size=like.shape[2:], mode="trilinear", align_corners=True)
    frames = clip[0].transpose(0, 1)
    frames = F.interpolate(frames, size=like.shape[3:], mode="bicubic", align_corners=False)
    return frames.transpose(0, 1)[None]
