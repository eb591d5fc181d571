"""What planning must know about files: measured once by whoever loads the spec, so that plans do no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class VideoFact:
    """A source video as its container declares it: pixels, frames, frames per second."""

    frames: int
    width: int
    height: int
    frame_rate: float


@dataclass(frozen=True, slots=True)
class LatentFact:
    """A source latent, `[1, channels, latents, height, width]` (latent height and width)."""

    latents: int
    channels: int
    height: int
    width: int


@dataclass(frozen=True)
class SourceFacts:
    """Facts by path, as the checked spec spells it."""

    videos: Mapping[str, VideoFact] = field(default_factory=dict)
    latents: Mapping[str, LatentFact] = field(default_factory=dict)


VideoProbe = Callable[[str], VideoFact]
