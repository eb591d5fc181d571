"""Stage 2: the transformer and its text encoder, by rectified flow on banks of latents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from diffusers import AutoencoderKLLTXVideo, LTXVideoTransformer3DModel

from actors.models.tiny_text import TinyTextEncoder
from tools.train_tiny import fast
from tools.train_tiny.bank import Bank
from tools.train_tiny.geometry import to_latents, to_tokens
from tools.train_tiny.layout import PLANS, Example, Plan, draw_example
from tools.train_tiny.modules import new_text_encoder, new_transformer
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.prompts import PromptPool
from tools.train_tiny.training import Average, Clock, Recorder, Run, State, cosine, save
from tools.train_tiny.world import Frame

SIZES = ((128, 128), (256, 256), (128, 192), (192, 128), (192, 192))
"""height, width. The first two learn every layout, the others the usual ones."""
FEW_VIDEOS = 256
"""Videos in each bank of the sizes beside the first two."""
USUAL_SHARE = 0.05
"""Share of a layout from which on every size learns it."""
TOKENS_PER_BATCH = 26_000
PEAK_LR = 1.5e-3
REFRESH_EVERY = 16


@dataclass(frozen=True)
class Diet:
    """What a training is fed: the share of its steps on 256 x 256 at the start and at the end, the videos of
    128 x 128 and of 256 x 256 in the banks, and the progress from which on some overlaps are the model's own
    estimates."""

    large_first: float
    large_last: float
    small_videos: int
    large_videos: int
    imitate_from: float

    def large(self, progress: float) -> float:
        return self.large_first + (self.large_last - self.large_first) * progress

    def shares(self, progress: float) -> list[float]:
        """Of the steps, by size."""
        large = self.large(progress)
        others = [0.05, 0.04, 0.03]
        return [1.0 - large - sum(others), large, *others]

    @property
    def capacities(self) -> list[int]:
        """Videos in the bank of each size."""
        return [self.small_videos, self.large_videos, *[FEW_VIDEOS] * (len(SIZES) - 2)]


FROM_NOTHING = Diet(0.15, 0.40, 4096, 768, imitate_from=0.45)
"""Small frames teach words and motion at a quarter of the price."""
POLISH = Diet(0.75, 0.75, 1024, 2048, imitate_from=0.0)
"""For weights that know words and motion already."""
DIETS = {"whole": FROM_NOTHING, "polish": POLISH}


def predict(
    model: LTXVideoTransformer3DModel,
    text: tuple[torch.Tensor, torch.Tensor],
    x: torch.Tensor,
    sigma: torch.Tensor,
    coords: torch.Tensor,
) -> torch.Tensor:
    """Velocity [B, C, T, h, w] of latents `x` whose slots have noise levels `sigma` [B, T]."""
    height, width = x.shape[3:]
    timestep = (sigma * 1000).repeat_interleave(height * width, dim=1)
    tokens = model(
        hidden_states=to_tokens(x),
        encoder_hidden_states=text[0],
        timestep=timestep,
        encoder_attention_mask=text[1].to(x.dtype),
        video_coords=coords,
        return_dict=False,
    )[0]
    return to_latents(tokens, height, width)


def fill_banks(
    vae: AutoencoderKLLTXVideo, record: Recorder, run: Run, capacities: Sequence[int]
) -> list[Bank]:
    """One bank per size."""
    banks = []
    for (height, width), capacity in zip(SIZES, capacities, strict=True):
        bank = Bank.empty(Frame(height, width), max(4, run.batch(capacity)), run.device)
        bank.fill(vae, record, run)
        banks.append(bank)
    return banks


def noise_levels(count: int, tokens: int, device: torch.device) -> torch.Tensor:
    """Training sigmas [B]: half of them logit-normal with the schedule's token-dependent shift, one in ten
    uniform, and two in five close to 1, where a sample decides which way its object goes.

    Between noise and a clip the evidence for a heading grows with the square of 1 - sigma: at 128 x 128
    pixels it is plain from about 0.97 down, so only above that does a sampler ask the words.
    """
    shift = 0.5 + (tokens / 3072) * 1.1
    normal = torch.randn(count, device=device)
    uniform, kind = torch.rand(2, count, device=device)
    high = torch.sigmoid(1.5 * normal + 4.0)
    return torch.where(kind < 0.1, uniform, torch.where(kind < 0.5, high, torch.sigmoid(normal + shift)))


def train_dit(
    run: Run, vae: AutoencoderKLLTXVideo, start: dict[str, State] | None = None
) -> tuple[LTXVideoTransformer3DModel, TinyTextEncoder]:
    """Train for `run.seconds`, store `dit.pt`, and return the averaged transformer and text encoder."""
    model, text = new_transformer().to(run.device), new_text_encoder().to(run.device)
    diet = DIETS[run.diet]
    if start is not None:
        model.load_state_dict(start["transformer"])
        text.load_state_dict(start["text_encoder"])
    both = torch.nn.ModuleList([model, text])
    record = Recorder(run.device)
    banks = fill_banks(vae, record, run, diet.capacities)
    optimiser = Optimiser([both], run.peak_lr or PEAK_LR)
    average = Average(both, 0.999)
    training = _Training(run, model, text, banks, optimiser, average)
    rng, clock = random.Random(run.seed), Clock(run.seconds, run.limit_steps)
    for step in clock.ticks():
        layout = _choose(rng, diet, clock.progress)
        optimiser.set_rate(cosine(clock.progress))
        record(layout, partial(training.step, layout))
        if step % REFRESH_EVERY == 0:
            rng.choices(banks, diet.shares(clock.progress))[0].refresh(vae, record, run)
        clock.report(training.said)
        clock.save(partial(_save_average, run.folder / "dit-live.pt", model, text, average))
    average.swap()
    _save(run.folder / "dit.pt", model, text)
    return model.eval().requires_grad_(False), text.eval().requires_grad_(False)


def _save(path: Path, model: LTXVideoTransformer3DModel, text: TinyTextEncoder) -> None:
    save(path, {"transformer": model.state_dict(), "text_encoder": text.state_dict()})


def _save_average(
    path: Path, model: LTXVideoTransformer3DModel, text: TinyTextEncoder, average: Average
) -> None:
    """Store the averaged weights while the training goes on."""
    average.swap()
    _save(path, model, text)
    average.swap()


@dataclass(frozen=True)
class _Layout:
    """What one recorded step does: which bank, which plan, and whether the overlap is an estimate."""

    bank: int
    plan: Plan
    imitate: bool


def _choose(rng: random.Random, diet: Diet, progress: float) -> _Layout:
    """A random layout."""
    bank = rng.choices(range(len(SIZES)), diet.shares(progress))[0]
    plans = [(p, share) for p, share in PLANS if bank < 2 or share >= USUAL_SHARE]
    plan = rng.choices([p for p, _ in plans], [share for _, share in plans])[0]
    imitates = progress > diet.imitate_from and rng.random() < 0.4
    return _Layout(bank, plan, plan.extends and plan.new_slots == 10 and imitates)


class _Training:
    """The modules, the data and the running loss that every step shares."""

    def __init__(
        self,
        run: Run,
        model: LTXVideoTransformer3DModel,
        text: TinyTextEncoder,
        banks: Sequence[Bank],
        optimiser: Optimiser,
        average: Average,
    ) -> None:
        self.run, self.model, self.text, self.banks = run, model, text, banks
        self.optimiser, self.average = optimiser, average
        self.pool = PromptPool(run.device)
        self.losses = torch.ones(len(banks), 2, device=run.device)

    def step(self, layout: _Layout) -> None:
        """One update on a batch of `layout`."""
        bank, plan = self.banks[layout.bank], layout.plan
        tokens = plan.tokens * (bank.frame.height // 32) * (bank.frame.width // 32)
        count = self.run.batch(max(8, TOKENS_PER_BATCH // tokens // 8 * 8))
        example = draw_example(plan, bank, count, self.pool)
        loss = _loss(self.run, self.model, self.text, example, layout.imitate)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        self.average.update()
        self.losses[layout.bank, int(plan.extends)].lerp_(loss.detach(), 0.02)

    def said(self) -> str:
        """Losses of Generate and Extend by size."""
        return "  ".join(f"{g:.3f}/{e:.3f}" for g, e in self.losses.tolist())


def _loss(
    run: Run,
    model: LTXVideoTransformer3DModel,
    text: TinyTextEncoder,
    example: Example,
    imitate: bool,
) -> torch.Tensor:
    """Mean squared velocity error over the sampled slots."""
    clean, mask = example.clean, example.mask
    count = len(clean)
    sigma = noise_levels(count, clean[0, 0].numel(), clean.device)
    with run.autocast:
        words = text(example.ids)
        shown = _disturbed(model, words, example, imitate)
        levels = mask * sigma[:, None]
        noise = torch.randn_like(clean)
        at = levels[:, None, :, None, None]
        velocity = fast.velocity(model, words, (1 - at) * shown + at * noise, levels, example.coords)
    slots = example.slots
    sampled = (mask[:, :slots] == 1).float()[:, None, :, None, None]
    error = (velocity.float() - (noise - clean))[:, :, :slots].square() * sampled
    return error.sum() / (sampled.sum() * clean.shape[1] * clean.shape[3] * clean.shape[4])


def _disturbed(
    model: LTXVideoTransformer3DModel,
    words: tuple[torch.Tensor, torch.Tensor],
    example: Example,
    imitate: bool,
) -> torch.Tensor:
    """The latents with undisclosed faults in what is known, as a long chain of extends accumulates them.

    Half of the examples get noise; with `imitate`, the overlap is the model's own estimate from a noised
    window.
    """
    shown, slots = example.clean, example.slots
    if imitate:
        with torch.no_grad():
            sigma = 0.2 + 0.45 * torch.rand(len(shown), 1, device=shown.device)
            at = sigma[..., None, None, None]
            window = shown[:, :, :slots]
            tokens = slots * shown.shape[3] * shown.shape[4]
            noisy = (1 - at) * window + at * torch.randn_like(window)
            detached = (words[0].detach(), words[1])
            coords = example.coords[:, :, :tokens]
            velocity = fast.velocity(model, detached, noisy, sigma.expand(-1, slots), coords)
            guess = noisy - at * velocity.float()
            width = example.overlap_at.stop - example.overlap_at.start
            shown = shown.clone()
            shown[:, :, example.overlap_at] = guess[:, :, :width]
    strength = (
        0.15
        * torch.rand(len(shown), 1, device=shown.device)
        * (torch.rand(len(shown), 1, device=shown.device) < 0.5)
    )
    fault = torch.where(example.mask < 1, strength, torch.zeros_like(strength))
    return shown + fault[:, None, :, None, None] * torch.randn_like(shown)
