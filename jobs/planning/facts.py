"""What planning must know about files and models, measured when the spec is loaded: plans do no I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from jobs.frames import conformed_frames, frames_of, frames_within


@dataclass(frozen=True, slots=True)
class VideoFact:
    """A source video as its container declares it: pixels, frames, frames per second.

    `seconds` is the running time where frames are not equally long; `frame_rate` is then their mean rate.
    `sound_start_s` says how long after the first frame the sound starts (before it: negative), None that
    there is none. `hdr` names a transfer curve that is tone-mapped. `transparent`: there is an alpha channel.
    """

    frames: int
    width: int
    height: int
    frame_rate: float
    seconds: Fraction | None = None
    sound_start_s: float | None = None
    hdr: str = ""
    transparent: bool = False

    def frames_at(self, frame_rate: float) -> int:
        """Frames of the clip, shown for the same time at `frame_rate`."""
        if self.seconds is not None:
            return frames_within(self.seconds, frame_rate)
        return conformed_frames(self.frames, self.frame_rate, frame_rate)


@dataclass(frozen=True, slots=True)
class ClipPart:
    """`frames` frames after `skip_frames` of a source video that is shown at `frame_rate`."""

    skip_frames: int
    frames: int
    frame_rate: float


@dataclass(frozen=True, slots=True)
class SoundFact:
    """A sound file: running time, samples per second, and whether nothing is heard of what a film plays."""

    seconds: float
    sample_rate: int
    silent: bool = False


@dataclass(frozen=True, slots=True)
class ImageFact:
    """An image: pixels, and whether any of them is transparent."""

    width: int
    height: int
    transparent: bool = False


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
    sounds: Mapping[str, SoundFact] = field(default_factory=dict)
    images: Mapping[str, ImageFact] = field(default_factory=dict)

    def frames(self, path: str, frame_rate: float) -> int | None:
        """Frames of a source shown at `frame_rate`; None where it was not measured."""
        if path in self.latents:
            return frames_of(self.latents[path].latents)
        video = self.videos.get(path)
        return video.frames_at(frame_rate) if video else None


@dataclass(frozen=True, slots=True)
class PromptFault:
    """Why a model cannot read a prompt."""

    value: str
    rule: str
    remedy: str


VideoProbe = Callable[[str], VideoFact]
ClipProbe = Callable[[str, ClipPart], None]
LatentProbe = Callable[[str, int], None]
ImageProbe = Callable[[str], ImageFact]

PromptReader = Callable[[str], PromptFault | None]


class SoundProbe(Protocol):
    """Decodes the first `seconds` of a file."""

    def __call__(self, path: str, *, seconds: float) -> SoundFact: ...


@dataclass(frozen=True, slots=True)
class Probes:
    """How the files of a spec are looked into; None leaves a kind unseen. They raise FarmError, OSError or
    ValueError where a file is not what it must be.

    `video` measures a source, `clip` decodes what is used of it, `latent` reads the last latents of a file,
    as many as are used, `sound` decodes the seconds of a sound file that the film plays, from its start.
    `prompt` says what the bundled model cannot read in a prompt, and `bundled` is that model's file.
    """

    video: VideoProbe | None = None
    image: ImageProbe | None = None
    sound: SoundProbe | None = None
    prompt: PromptReader | None = None
    clip: ClipProbe | None = None
    latent: LatentProbe | None = None
    bundled: Path | None = None


NO_PROBES = Probes()
