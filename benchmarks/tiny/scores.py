"""Scores of clips and films against what their prompts say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.tiny.detector import Reading, read
from tools.train_tiny.world import SPEED_PER_FRAME


@dataclass(frozen=True)
class Wanted:
    """What a prompt says; `direction` is None where it names none."""

    prompt: str
    colour: str
    shape: str
    background: str
    direction: str | None


@dataclass(frozen=True)
class Motion:
    """How a film moves. Steps are distances between neighbouring frames in units of the world's constant
    speed; `jump_at` is the frame before the largest one near a seam.
    """

    seam_jump: float
    jump_at: int
    elsewhere_p99: float
    first_speed: float
    last_speed: float
    last_colour: str
    last_shape: str

    @property
    def ratio(self) -> float:
        return self.seam_jump / self.elsewhere_p99


def rate(hits: Sequence[bool]) -> float:
    return sum(hits) / len(hits)


def prompt_scores(wanted: Sequence[Wanted], readings: Sequence[Reading]) -> dict[str, float]:
    """Shares in [0, 1] of clips whose colour, shape, background and first direction are as prompted."""
    pairs = list(zip(wanted, readings, strict=True))
    scores = {
        name: rate([getattr(r, name) == getattr(w, name) for w, r in pairs])
        for name in ("colour", "shape", "background")
    }
    scores["direction"] = rate([r.direction() == w.direction for w, r in pairs if w.direction is not None])
    scores["present"] = rate([bool(r.present.float().mean() > 0.97) for r in readings])
    return scores


def motion(film: torch.Tensor, seams: Sequence[int], fade: int, chunk_frames: int = 80) -> Motion:
    """Judge a film [F, 3, H, W] in [0, 1] whose cross-fades of `fade` frames begin at `seams`."""
    reading = read(film)
    steps = reading.steps / SPEED_PER_FRAME
    near = torch.zeros(len(steps), dtype=torch.bool)
    for seam in seams:
        near[max(0, seam - 9) : seam + fade + 8] = True
    last = read(film[-chunk_frames:])
    jump_at = int(torch.where(near, steps, 0.0).argmax())
    return Motion(
        seam_jump=float(steps[jump_at]),
        jump_at=jump_at,
        elsewhere_p99=float(torch.quantile(steps[~near], 0.99)),
        first_speed=float(steps[:chunk_frames].mean()),
        last_speed=float(steps[-chunk_frames:].mean()),
        last_colour=last.colour,
        last_shape=last.shape,
    )


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """PSNR in dB of two images or clips in [0, 1]."""
    return float(10 * torch.log10(1 / (a - b).square().mean().clamp(min=1e-12)))
