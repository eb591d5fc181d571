"""What stages are given of temporal rounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobs.canonical import LATER
from jobs.frames import SPATIAL, Span, frames_of
from jobs.planning.rounds.layout import ANCHORED, ROUND_ETA, ROUND_SIGMAS, Tile
from jobs.planning.sampling import GuideUse, PlannedGuider, Sampling
from jobs.spec.engine import LoraUse


@dataclass(frozen=True, slots=True)
class CanvasParams:
    """The canvas of a round: a clip of `width` x `height` pixels, as the second pass made, upsampled in time.

    Inputs `latents` have `parts` latents each, T together, one after the other; the canvas has 2 T - 1. In
    the first round that is the second pass, whose `keyframes` `[1, C, K, h, w]` the canvas has. Later they
    are tiles, and their keyframes stand between those of input `carried`: behind its first one where the
    clip `starts_at_seam`, else before it.
    """

    width: int
    height: int
    parts: tuple[int, ...]
    starts_at_seam: bool

    @property
    def latents(self) -> int:
        """Of the canvas."""
        return 2 * sum(self.parts) - 1

    @property
    def tokens(self) -> int:
        """Its latent tokens."""
        return self.latents * (self.height // SPATIAL) * (self.width // SPATIAL)


@dataclass(frozen=True, slots=True)
class HeardPart:
    """What a tile hears of a chunk's sound, which was made for the latents `made_for` of its shot at
    `frame_rate`: `seconds` of it, `start_s` after the first frame of these."""

    made_for: Span
    frame_rate: float
    start_s: float
    seconds: float

    @property
    def source_s(self) -> float:
        """How long the whole sound is heard."""
        return frames_of(len(self.made_for)) / self.frame_rate


@dataclass(frozen=True, slots=True)
class TileParams:
    """One tile of a canvas of `latents`, denoised from its input `canvas`, of `width` x `height` pixels.

    Those `keyframes` of the canvas that `tile` carries are held, `anchored` strongly. `guides` are the images
    of input `guide`, at frames of the tile. `frame_rate` is what the transformer sees. The sound is the part
    `heard` of the `audio_latents` of input `sound`, held, where that has some. Each step of the sampler
    has a share `eta` of fresh noise.
    """

    width: int
    height: int
    latents: int
    tile: Tile
    frame_rate: float
    heard: HeardPart
    guides: tuple[GuideUse, ...]
    sampling: Sampling
    seed: int
    attention_mode: str
    ffn_chunks: int
    anchored: float = ANCHORED
    eta: float = ROUND_ETA
    loras: tuple[LoraUse, ...] = field(default=(), metadata=LATER)

    @property
    def which(self) -> Literal["rounds"]:
        """The pass that it is, by its LoRAs."""
        return "rounds"

    @property
    def made(self) -> int:
        """Latents of the artifact: the tile without its run-up."""
        return len(self.tile.span) - self.tile.ramp

    @property
    def tokens(self) -> int:
        """Latent tokens of the tile, of its anchors and of its slots."""
        beside = len(self.tile.anchors) + len(self.tile.slots)
        return (len(self.tile.span) + beside) * (self.height // SPATIAL) * (self.width // SPATIAL)


def round_sampling(second: Sampling) -> Sampling:
    """How a round denoises, behind that second pass: as diffusers does, without guidance."""
    return Sampling(
        steps=len(ROUND_SIGMAS) - 1,
        cfg=1.0,
        sampler="euler_ancestral",
        sigmas=ROUND_SIGMAS,
        guider=PlannedGuider(),
        max_shift=second.max_shift,
        base_shift=second.base_shift,
    )
