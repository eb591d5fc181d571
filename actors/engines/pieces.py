"""What a pass denoises: pieces of picture at their places in time, and the sound beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Piece:
    """Latents `[1, C, t, h, w]` at a place of a pass's timeline.

    To an engine they come as a `Payload`, or as what its own `upsample` made; inside it they are tensors. The
    first piece of a pass is the clip itself. It is made over its latents, or from nothing where it has none,
    and so are marked ones.

    `hold` says how firmly latents stay what they are, 1 is given and 0 is made: one number, or one for each.
    `frame` is the first frame that they show, counted from the clip's first; at frame 0 the first latent
    shows one frame, and so does a single latent anywhere, all others eight. `attention` weighs what the clip
    sees of the piece (1 is as trained). `marked` ones are single frames that the transformer makes itself.
    A `reference` stands beside the clip whatever its frame: it is looked at and never a part of it, for a
    transformer that was trained to (IC-LoRA). `scale` are latents of the pass per latent of the piece, where
    it is smaller than the clip.
    """

    latents: Any
    frame: int = 0
    hold: float | Sequence[float] = 1.0
    attention: float = 1.0
    marked: bool = False
    reference: bool = False
    scale: int = 1

    @property
    def kept(self) -> float | Sequence[float]:
        """`hold` of a clip: what is made from nothing has nothing to hold."""
        return 0.0 if self.latents is None else self.hold

    @property
    def holds(self) -> tuple[float, ...]:
        """`hold` of each latent; of tensors alone."""
        held = self.hold
        return (held,) * self.latents.shape[2] if isinstance(held, int | float) else tuple(held)


@dataclass(frozen=True)
class PassSound:
    """Audio latents `[1, channels, t, bins]` beside the pieces.

    `latents` are what the sound is made over, None for nothing, or where it is `held` what it is. `before` is
    the sound of the chain, of which the part that falls into the clip stays. Of what is held, all that is
    heard between the two moments `made_s`, in seconds of the clip, is made anew.
    """

    latents: np.ndarray | None = None
    held: bool = False
    before: np.ndarray | None = None
    made_s: tuple[float, float] | None = None
