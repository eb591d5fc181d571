"""Shots to chunks: where chunks meet, how long each is, and what of the shot it shows. Pure.

A shot of T latents is cut where a beat begins, behind held images, and behind the second latent of a held
clip. What lies between is divided as evenly as may be into chunks no longer than `defaults` says.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import ceil
from typing import TYPE_CHECKING, Any

from jobs.frames import (
    TEMPORAL,
    exact_rate,
    frames_of,
    latent_before,
    latents_of,
    nearest_frame,
    snapped_joint,
    snapped_latents,
)
from jobs.planning.held import LEAST_CLIP
from jobs.planning.seeds import derive_seed
from jobs.spec.chunk import Chunk, Defaults, Extend, Generate, GuideImage, Settings
from jobs.spec.shot import Shot

if TYPE_CHECKING:
    from jobs.spec.shot import ShotImage

Run = list[int]
SETTINGS = frozenset(Settings.model_fields)


@dataclass(frozen=True, slots=True)
class ShotChunk:
    """A chunk of a shot. `beat` is the one whose prompt it has (None: the shot's own), `images` are those of
    the shot that it shows, in the order of the chunk's."""

    chunk: Chunk
    beat: int | None
    images: tuple[int, ...]


@dataclass(frozen=True)
class ShotLayout:
    """A shot on the grid of its latents."""

    shot: Shot
    defaults: Defaults
    frame_rate: float

    @cached_property
    def latents(self) -> int:
        return snapped_latents(self.shot.seconds, self.frame_rate)

    @property
    def frames(self) -> int:
        return frames_of(self.latents)

    def beat_joint(self, at: float) -> int:
        """The last latent before a beat; there is one before and one behind it."""
        return min(max(1, latent_before(at, self.frame_rate)), max(1, self.latents - 2))

    def frame(self, image: ShotImage) -> int:
        """The shot's frame that shows an image, or the first of a clip."""
        if not image.hold:
            return min(nearest_frame(image.at, self.frame_rate), self.frames - 1)
        return TEMPORAL * min(snapped_joint(image.at, self.frame_rate), self.latents - 1)

    @cached_property
    def held_joints(self) -> dict[int, int]:
        """The last latent of a chunk that ends with what is held, and which of the images that is."""
        stills = {self.frame(each) // TEMPORAL: index for index, each in self._held("image")}
        clips = {self.frame(each) // TEMPORAL + LEAST_CLIP: index for index, each in self._held("video")}
        met = {run[len(run) // 2] for run in _runs(sorted(stills)) if self._inside(run)}
        return {**{joint: stills[joint] for joint in met}, **clips}

    def _held(self, field: str) -> Iterator[tuple[int, ShotImage]]:
        for index, image in enumerate(self.shot.images):
            if image.hold and getattr(image, field) is not None:
                yield index, image

    def _inside(self, run: Run) -> bool:
        """Stills at the shot's own ends pin these."""
        return run[0] > 0 and run[-1] < self.latents - 1

    @cached_property
    def joints(self) -> tuple[int, ...]:
        """The last latents of chunks, in order, without those that only length makes."""
        beats = {self.beat_joint(beat.at) for beat in self.shot.beats} if self.latents > 2 else set()
        return tuple(sorted(beats | self.held_joints.keys()))

    def cuts(self) -> list[int]:
        """Where chunks begin and end, latents: 0, ..., T."""
        marks = [0, *(joint + 1 for joint in self.joints if joint + 1 < self.latents), self.latents]
        first, more = latents_of(self.defaults.num_frames), self.defaults.num_new_frames // TEMPORAL
        cuts = [0]
        for start, stop in pairwise(marks):
            cuts += _divided(start, stop, more if start else first, more)
        return cuts

    def chunks(self) -> Iterator[ShotChunk]:
        """The explicit form."""
        before, beats, shown = 0, self._beats_by_joint(), self._images_by_joint()
        common = {name: getattr(self.shot, name) for name in self.shot.model_fields_set & SETTINGS}
        first, more = Generate.model_construct(**common), Extend.model_construct(**common)
        for number, (start, stop) in enumerate(pairwise(self.cuts())):
            held = start - 1 in self.held_joints
            beat = beats[bisect_left(beats, (start, -1)) - 1][1]
            among = shown[bisect_left(shown, (start, -1)) : bisect_left(shown, (stop, -1))]
            images = sorted(image for _, image in among)
            fields = self._fields(number, beat, [self._image(image, start, stop) for image in images])
            if number:
                fields |= self._extent(start, stop, before, held)
                chunk = Chunk.model_construct(extend=more.model_copy(update=fields))
            else:
                fields["num_frames"] = frames_of(stop)
                chunk = Chunk.model_construct(generate=first.model_copy(update=fields))
            before = stop - start + (1 if number and not held else 0)
            yield ShotChunk(chunk, beat, tuple(images))

    def _beats_by_joint(self) -> list[tuple[int, int | None]]:
        """Beats with the last latent before each, in their order, the shot's own prompt first."""
        at = {self.beat_joint(beat.at): index for index, beat in enumerate(self.shot.beats)}
        return [(-1, None), *sorted(at.items())]

    def _images_by_joint(self) -> list[tuple[int, int]]:
        """Images with a latent that their chunk has, in order: of a clip the one that ends the chunk."""
        return sorted(
            (
                (self.frame(image) + TEMPORAL - 1) // TEMPORAL
                + (LEAST_CLIP if image.video is not None else 0),
                i,
            )
            for i, image in enumerate(self.shot.images)
        )

    def _extent(self, start: int, stop: int, longest: int, held: bool) -> dict[str, int]:
        overlap = min(self.defaults.overlap_frames, TEMPORAL * longest)
        shared = {} if held or overlap == self.defaults.overlap_frames else {"overlap_frames": overlap}
        return {"num_new_frames": TEMPORAL * (stop - start), **shared}

    def _fields(self, number: int, beat: int | None, images: Sequence[GuideImage]) -> dict[str, Any]:
        """What a chunk has alone of its shot. A shot with a seed is known by that: it may have
        another name."""
        shot, fields = self.shot, dict[str, Any]()
        if beat is not None:
            fields["prompt"] = shot.beats[beat].prompt
        if not number:
            fields["shot"] = shot.name if shot.seed is None else f"seed-{shot.seed}"
            if shot.takes > 1:
                fields["takes"] = shot.takes
            if shot.loras:
                fields["loras"] = shot.loras
        if shot.seed is not None:
            fields["seed"] = derive_seed(shot.seed, number) if number else shot.seed
        return {**fields, "images": tuple(images)} if images else fields

    def _image(self, index: int, start: int, stop: int) -> GuideImage:
        """The image at the chunk's own frame; from its end where it meets the next there."""
        image = self.shot.images[index]
        frame, last = self.frame(image), frames_of(stop) - 1
        own = frame - last - 1 if image.video is not None or frame == last else frame - frames_of(start)
        said = {name: getattr(image, name) for name in image.model_fields_set - {"at"}}
        return GuideImage.model_construct(**said, frame=own)


def snapped(layout: ShotLayout, temporal: int = 1) -> str:
    """What of a shot's times became other ones, by half a frame or more: asked, then got, seconds; empty
    where none did. The film has `temporal` frames for each but the shot's first."""
    shot, rate = layout.shot, temporal * float(exact_rate(layout.frame_rate))
    times = [("", shot.seconds, temporal * (layout.frames - 1) + 1)]
    times += [("beat ", beat.at, temporal * TEMPORAL * layout.beat_joint(beat.at) + 1) for beat in shot.beats]
    times += [("held ", image.at, temporal * layout.frame(image)) for image in shot.images if image.hold]
    said = [
        f"{what}{asked:g} -> {frame / rate:.2f} s"
        for what, asked, frame in times
        if abs(frame - asked * rate) >= 0.5
    ]
    return f"{shot.name} {', '.join(said)}" if said else ""


def _runs(latents: Sequence[int]) -> Iterator[Run]:
    """Neighbours together: stills 8 frames apart belong to one joint."""
    run: Run = []
    for latent in latents:
        if run and latent != run[-1] + 1:
            yield run
            run = []
        run.append(latent)
    if run:
        yield run


def _divided(start: int, stop: int, first: int, more: int) -> Iterator[int]:
    """Ends of the fewest chunks of at most `first` latents, then `more`, all about as long as they may be."""
    length = stop - start
    followers = max(0, ceil((length - first) / more))
    whole = first + followers * more
    for number in range(followers + 1):
        yield start + round(length * (first + number * more) / whole)
