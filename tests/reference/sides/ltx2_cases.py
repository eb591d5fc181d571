"""Passes of LTX-2 that are compared with Lightricks', step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DISTILLED = (1.0, 0.99375, 0.9875, 0.725, 0.421875, 0.0)
SECOND = (0.909375, 0.725, 0.421875, 0.0)
RATE, LATENTS, HEARD = 25.0, 3, 17
"""Frames a second, and latents of picture and sound of 17 frames."""
MADE_S = 1 / RATE, 9 / RATE
"""While which latent 1 is shown."""


def drawn(*shape: int, seed: int) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def image() -> Any:
    return drawn(1, 128, 1, 2, 2, seed=20)


def overlap() -> Any:
    return drawn(1, 128, 2, 2, 2, seed=22)


def two() -> tuple[tuple[Any, int, float, float], ...]:
    """A sheet that counts by half, and a clip."""
    return (image(), 1, 0.8, 0.5), (drawn(1, 128, 2, 1, 1, seed=26), 2, 1.0, 1.0)


@dataclass(frozen=True)
class Case:
    """What a pass is given: (first latent, latents, strength) in the clip, (frame, latents, strength) beside
    it, what it starts from, and whether its sound is given. References are (latents, scale, strength,
    attention), seen through an IC-LoRA. Of what it starts from, a retake makes latent 1 anew, and what is
    heard while it is shown; `kept` is what of the two stays."""

    held: tuple[tuple[int, Any, float], ...] = ()
    beside: tuple[tuple[int, Any, float], ...] = ()
    references: tuple[tuple[Any, int, float, float], ...] = ()
    sigmas: tuple[float, ...] = DISTILLED
    start: bool = False
    frozen: bool = False
    guided: bool = False
    retake: bool = False
    kept: str = ""


CASES: dict[str, Callable[[], Case]] = {
    "text to video with sound": Case,
    "four forwards a step": lambda: Case(guided=True),
    "first image": lambda: Case(held=((0, image(), 1.0),)),
    "a still at frame 8": lambda: Case(beside=((8, image(), 0.9),)),
    "held overlap": lambda: Case(held=((0, overlap(), 1.0),)),
    "second pass with a first image": lambda: Case(held=((0, image(), 1.0),), sigmas=SECOND, start=True),
    "audio to video": lambda: Case(frozen=True),
    "a sheet": lambda: Case(references=((image(), 1, 1.0, 1.0),)),
    "a clip at half the size": lambda: Case(references=((drawn(1, 128, 3, 1, 1, seed=25), 2, 1.0, 1.0),)),
    "two by attention, a still and a held overlap": lambda: Case(
        held=((0, overlap(), 1.0),), beside=((8, image(), 0.9),), references=two()
    ),
    "a sheet with four forwards a step": lambda: Case(references=((image(), 1, 1.0, 1.0),), guided=True),
    "a clip at half the size with four forwards a step": lambda: Case(
        references=((drawn(1, 128, 3, 1, 1, seed=25), 2, 1.0, 1.0),), guided=True
    ),
    "two by attention with four forwards a step": lambda: Case(
        held=((0, overlap(), 1.0),), references=two(), guided=True
    ),
    "one that is hidden": lambda: Case(references=((image(), 1, 1.0, 0.0),)),
    "a retake": lambda: Case(start=True, retake=True),
    "a retake with four forwards a step": lambda: Case(start=True, retake=True, guided=True),
    "a retake of pictures": lambda: Case(start=True, retake=True, kept="sound"),
    "a retake of sound": lambda: Case(start=True, retake=True, kept="pictures"),
}
