"""Stage 3: the latent 2x upsampler, on the same clips encoded at 128 and at 256 pixels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKLLTXVideo
from diffusers.pipelines.ltx.modeling_latent_upsampler import LTXLatentUpsamplerModel

from tools.train_tiny.bank import decode, encode
from tools.train_tiny.modules import new_upsampler
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.training import Average, Clock, Recorder, Run, State, cosine, save
from tools.train_tiny.vae import psnr
from tools.train_tiny.world import Frame, draw_scenes, render

SMALL, LARGE = Frame(128, 128), Frame(256, 256)
PAIRS, PAIRS_PER_REFRESH = 4096, 16
PIXELS_FROM = 0.4
"""Progress from which on decoded frames are compared."""
PEAK_LR = 2e-3


def upsample(
    vae: AutoencoderKLLTXVideo, upsampler: LTXLatentUpsamplerModel, latents: torch.Tensor
) -> torch.Tensor:
    """Normalised latents -> normalised latents of twice the height and width."""
    mean, std = vae.latents_mean.view(1, -1, 1, 1, 1), vae.latents_std.view(1, -1, 1, 1, 1)
    return (upsampler(latents * std + mean).float() - mean) / std


def train_upsampler(
    run: Run, vae: AutoencoderKLLTXVideo, start: State | None = None
) -> LTXLatentUpsamplerModel:
    """Train for `run.seconds` on pairs of latents, and store `upsampler.pt`.

    The first part compares latents; the second also compares what the frozen decoder makes of them.
    """
    model = new_upsampler().to(run.device)
    if start is not None:
        model.load_state_dict(start)
    training = _Training(run, vae, model)
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
    save(run.folder / "upsampler.pt", {"latent_upsampler": model.state_dict()})
    gain = upsampler_gain(vae, model, run)
    print(f"upsampler {gain[0]:.2f} dB, bicubic {gain[1]:.2f} dB", flush=True)
    return model.eval().requires_grad_(False)


class _Training:
    """The modules and a bank of pairs: the same clips encoded at both sizes, [N, 128, 3, h, w]."""

    def __init__(self, run: Run, vae: AutoencoderKLLTXVideo, model: LTXLatentUpsamplerModel) -> None:
        self.run, self.vae, self.model = run, vae, model
        self.optimiser = Optimiser([model], run.peak_lr or PEAK_LR)
        self.average = Average(model, 0.999)
        pairs = max(PAIRS_PER_REFRESH, run.batch(PAIRS))
        self.small = torch.zeros(pairs, 128, 3, 4, 4, device=run.device)
        self.large = torch.zeros(pairs, 128, 3, 8, 8, device=run.device)
        self.cursor = torch.zeros((), dtype=torch.int64, device=run.device)
        self.losses = torch.ones(2, device=run.device)

    @torch.no_grad()
    def refresh(self) -> None:
        """Encode new clips over the oldest pairs."""
        scenes = draw_scenes(PAIRS_PER_REFRESH, SMALL, self.run.generator)
        when = torch.arange(17, device=self.run.device) + torch.randint(200, (1,), device=self.run.device)
        with self.run.autocast:
            small, large = (encode(self.vae, render(scenes, when, frame)[0]) for frame in (SMALL, LARGE))
        where = torch.arange(PAIRS_PER_REFRESH, device=self.run.device) + self.cursor
        self.small[where % len(self.small)] = small
        self.large[where % len(self.large)] = large
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
