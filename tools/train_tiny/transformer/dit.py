"""The transformer, the text encoder and the connectors, by rectified flow on banks of latents."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
import torch.distributed as dist

from tools.train_tiny.modules import new_transformer
from tools.train_tiny.optim import Optimiser
from tools.train_tiny.procedural.prompts import PromptPool
from tools.train_tiny.procedural.world import Frame
from tools.train_tiny.training import Average, Clock, Recorder, Run, State, cosine, save
from tools.train_tiny.transformer.bank import Bank, Codecs, Format
from tools.train_tiny.transformer.flow import Both, Words, flow_loss
from tools.train_tiny.transformer.layout import PLANS, Plan, draw_example

SMALL, LARGE = Format(Frame(128, 128)), Format(Frame(256, 256))
OTHERS: tuple[tuple[Format, float], ...] = (
    (Format(Frame(128, 192)), 0.03),
    (Format(Frame(192, 128)), 0.03),
    (Format(Frame(192, 192)), 0.03),
    (Format(Frame(128, 128), 50.0), 0.04),
    (Format(Frame(128, 128), 24.0), 0.015),
    (Format(Frame(128, 128), 30.0), 0.015),
)
"""What else the model films, with its shares of the steps. `SMALL` and `LARGE` learn every layout, these the
usual ones.
"""
FORMATS = (SMALL, LARGE, *(format for format, _ in OTHERS))
FEW_FILMS = 96
"""Films in each bank of the others."""
USUAL_SHARE = 0.05
"""Share of a layout from which on every format learns it."""
TOKENS_PER_BATCH = 16_000
PEAK_LR = 2e-3
REFRESH_EVERY = 16
SOUND_WEIGHT = 2.0


@dataclass(frozen=True)
class Diet:
    """What a training is fed: the share of its steps on 256 x 256 at the start and at the end, the films of
    128 x 128 and of 256 x 256 in the banks, and the progress from which on some overlaps are the model's own
    estimates."""

    large_first: float
    large_last: float
    small_films: int
    large_films: int
    imitate_from: float

    def shares(self, progress: float) -> list[float]:
        """Of the steps, by format."""
        large = self.large_first + (self.large_last - self.large_first) * progress
        others = [share for _, share in OTHERS]
        return [1.0 - large - sum(others), large, *others]

    @property
    def capacities(self) -> list[int]:
        """Films in the bank of each format."""
        return [self.small_films, self.large_films, *[FEW_FILMS] * len(OTHERS)]


FROM_NOTHING = Diet(0.2, 0.45, 1024, 256, imitate_from=0.4)
"""Small frames teach words and motion at a quarter of the price."""
POLISH = Diet(0.35, 0.5, 768, 320, imitate_from=0.0)
"""For weights that know words and motion already."""
DIETS = {"whole": FROM_NOTHING, "polish": POLISH}


def train_dit(run: Run, codecs: Codecs, start: dict[str, State]) -> None:
    """Train for `run.seconds`, set-up counted, and store the averaged transformer, text encoder and
    connectors.

    `start` holds the states of those that do not begin with fresh weights.
    """
    both = Both(new_transformer(), Words()).to(run.device)
    for name, state in start.items():
        both.parts[name].load_state_dict(state)
    if run.ranks > 1:
        for tensor in [*both.parameters(), *both.buffers()]:
            dist.broadcast(tensor.data, 0)
    record, diet = Recorder(run.device), DIETS[run.diet]
    banks = _fill(codecs, record, run, diet)
    training = _Training(run, both, banks)
    rng, clock = random.Random(run.seed), Clock(run.left_s, run.limit_steps, run.ranks)
    for step in clock.ticks():
        training.optimiser.set_rate(cosine(clock.progress))
        layout = _choose(rng, diet, clock.progress)
        record(layout, partial(training.differentiate, layout))
        training.share()
        record("update", training.update)
        if step % REFRESH_EVERY == 0:
            rng.choices(banks, diet.shares(clock.progress))[0].refresh(codecs, record, run)
        if run.rank == 0:
            clock.report(training.said)
            clock.save(training.store)
    if run.rank == 0:
        print(f"{clock.steps} steps", flush=True)
        training.store()


def _fill(codecs: Codecs, record: Recorder, run: Run, diet: Diet) -> list[Bank]:
    """One bank per format; ranks film different ones."""
    banks = []
    for format, capacity in zip(FORMATS, diet.capacities, strict=True):
        bank = Bank.empty(format, max(4, run.batch(capacity)), run.device)
        bank.fill(codecs, record, run)
        banks.append(bank)
    return banks


@dataclass(frozen=True)
class _Layout:
    """What one recorded step does: which bank, which plan, and whether the overlap is an estimate."""

    bank: int
    plan: Plan
    imitate: bool


def _choose(rng: random.Random, diet: Diet, progress: float) -> _Layout:
    """A random layout."""
    bank = rng.choices(range(len(FORMATS)), diet.shares(progress))[0]
    plans = [(p, share) for p, share in PLANS if bank < 2 or share >= USUAL_SHARE]
    plan = rng.choices([p for p, _ in plans], [share for _, share in plans])[0]
    able = plan.extends and plan.new_slots == 10 and not plan.heard and bank < 2
    return _Layout(bank, plan, able and progress > diet.imitate_from and rng.random() < 0.4)


class _Training:
    """The modules, the data and the running losses that every step shares."""

    def __init__(self, run: Run, both: Both, banks: Sequence[Bank]) -> None:
        self.run, self.both, self.banks = run, both, banks
        self.optimiser = Optimiser([both], run.peak_lr or PEAK_LR, together=True)
        self.average = Average(both, 0.999)
        self.pool = PromptPool(run.device)
        self.losses = torch.ones(2, 2, 2, device=run.device)

    def differentiate(self, layout: _Layout) -> None:
        """The gradient of one batch of `layout`."""
        bank, plan = self.banks[layout.bank], layout.plan
        frame = bank.format.frame
        tokens = plan.shown * (frame.height // 32) * (frame.width // 32)
        count = self.run.batch(max(8, TOKENS_PER_BATCH // tokens // 8 * 8))
        example = draw_example(plan, bank, count, self.pool)
        seen, heard = flow_loss(self.run, self.both, plan, example, layout.imitate)
        self.optimiser.zero_grad()
        (seen + SOUND_WEIGHT * heard).backward()
        losses = torch.stack([seen, heard]).detach()
        self.losses[min(layout.bank, 1), int(plan.extends)].lerp_(losses, 0.02)

    def share(self) -> None:
        """Average the gradients of all ranks."""
        if self.run.ranks > 1:
            dist.all_reduce(self.optimiser.gradient)

    def update(self) -> None:
        """One step along the gradient."""
        if self.optimiser.gradient is not None:
            self.optimiser.gradient.div_(self.run.ranks)
        self.optimiser.step()
        self.average.update()

    def store(self) -> None:
        """Write the averaged weights."""
        self.average.swap()
        save(self.run.folder, {name: part.state_dict() for name, part in self.both.parts.items()})
        self.average.swap()

    def said(self) -> str:
        """Losses of picture and sound, of Generate and Extend, at 128 and at other sizes."""
        rows = self.losses.flatten(0, 1).tolist()
        names = ("small", "small extend", "other", "other extend")
        return "  ".join(f"{n} {a:.3f}/{b:.3f}" for n, (a, b) in zip(names, rows, strict=True))
