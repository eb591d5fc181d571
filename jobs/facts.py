"""What planning must know about files and models, measured by whoever loads the spec: plans do no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from jobs.frames import conformed_frames, frames_of


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

    def frames(self, path: str, frame_rate: float) -> int | None:
        """Frames of a source shown at `frame_rate`; None where it was not measured."""
        if path in self.latents:
            return frames_of(self.latents[path].latents)
        video = self.videos.get(path)
        return conformed_frames(video.frames, video.frame_rate, frame_rate) if video else None


@dataclass(frozen=True, slots=True)
class PromptFault:
    """Why a model cannot read a prompt."""

    value: str
    rule: str
    remedy: str


VideoProbe = Callable[[str], VideoFact]
PromptReader = Callable[[str], PromptFault | None]
"""What is wrong with a prompt for the bundled model; None where nothing is."""
