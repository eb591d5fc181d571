"""The chunks of a source with retakes: parts that are kept, and those that are made anew. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from jobs.frames import ChunkSpan, DecodeWindow, Span, frames_of_latents, latents_of
from jobs.places import place_of
from jobs.planning.expand import Variant, sampling_of, setting
from jobs.planning.guides import heard_sound
from jobs.planning.planned import PlannedChunk, PlannedRetake, PlannedSource
from jobs.planning.retakes.layout import lay_retakes, own_span, own_window, sampled_frames
from jobs.planning.seeds import derive_seed
from jobs.sound.tracks import sampled_tracks
from jobs.spec.chunk import CommonSettings
from jobs.spec.run import Decode
from jobs.spec.sound import SoundTrack

if TYPE_CHECKING:
    from jobs.planning.retakes.layout import RetakenPart

MOST_KEPT = 12
"""Latents of a kept part, about those of other chunks: its frames are in memory at once."""
NOTHING = DecodeWindow(Span(0, 0), Span(0, 0), Span(0, 0))


def retake_chunks(variant: Variant, source: PlannedSource, decode: Decode) -> Iterator[PlannedChunk]:
    """Every chunk of the film in order."""
    return _Chunks(variant, source, decode, sampled_tracks(variant.video).get(0)).all()


@dataclass(frozen=True, slots=True)
class _Chunks:
    """`track` is the sound that the retakes make or hear."""

    variant: Variant
    source: PlannedSource
    decode: Decode
    track: SoundTrack | None

    def all(self) -> Iterator[PlannedChunk]:
        done = index = 0
        for part in lay_retakes(self.variant, self.source.frames):
            for span in _divided(Span(done, part.shown.start)):
                yield self._kept(span, index)
                index += 1
            yield self._retake(part, index)
            done, index = part.shown.stop, index + 1
        for span in _divided(Span(done, latents_of(self.source.frames))):
            yield self._kept(span, index)
            index += 1

    def _kept(self, latents: Span, index: int) -> PlannedChunk:
        return PlannedChunk(
            kind="kept",
            place=f"{self.variant.place}.source",
            prompt="",
            negative="",
            span=ChunkSpan(0, len(latents), latents.stop),
            window=NOTHING,
            **self._shown(latents, index),
            **self._seeds(self.variant.defaults.seed, "kept", latents.start),
            **self._settings(CommonSettings()),
        )

    def _retake(self, part: RetakenPart, index: int) -> PlannedChunk:
        retake, clip, made = part.retake, part.clip, part.made
        pick = partial(setting, retake, self.variant.defaults)
        root = self.variant.defaults.seed if retake.seed is None else retake.seed
        chunk = PlannedChunk(
            kind="retake",
            place=place_of(part.place),
            prompt=self.variant.fill(pick("prompt") or ""),
            negative=self.variant.fill(pick("negative")),
            span=own_span(clip),
            window=own_window(clip, part.shown, self.decode.context, retake.picture),
            heard=heard_sound(
                self.track, sampled_frames(clip), 0, self.variant.frame_rate, self.variant, self.source
            ),
            retake=self._planned(part),
            loras=retake.loras,
            **self._shown(part.shown, index),
            **self._seeds(root, "retake", made.start, made.stop),
            **self._settings(retake),
        )
        return chunk if retake.seed is None else replace(chunk, seed=retake.seed)

    def _planned(self, part: RetakenPart) -> PlannedRetake:
        makes = self.track is not None and self.track.generate is not None
        sound = makes if part.retake.sound is None else part.retake.sound
        return PlannedRetake(part.asked, part.made, part.clip, part.shown, part.retake.picture, sound)

    def _shown(self, latents: Span, index: int) -> dict[str, Any]:
        """What every chunk has: its place in the film, and the frames of the source that are there."""
        owned, source = frames_of_latents(latents), self.source
        sound = None if self.track is None else "generate" if self.track.generate else "condition"
        return {
            "video": self.variant.name,
            "index": index,
            "shot": 0,
            "index_in_shot": index,
            "owned": owned,
            "fade_frames": 0,
            "source": replace(source, frames=len(owned), skip_frames=source.skip_frames + owned.start),
            "sound": sound,
        }

    def _settings(self, settings: CommonSettings) -> dict[str, Any]:
        """There is no overlap, of whatever strength `defaults` has it."""
        pick = partial(setting, settings, self.variant.defaults)
        return {
            "sampling": sampling_of(settings, self.variant.defaults),
            "guides": (),
            "overlap_strength": 1.0,
            "attention_mode": pick("attention_mode"),
            "ffn_chunks": pick("ffn_chunks"),
        }

    def _seeds(self, root: int, *place: str | int) -> dict[str, Any]:
        """Seeds by what is made anew: other retakes of the film change none of them."""
        names = (self.variant.video.name, *place)
        stages = {"seed": "sample", "upscale_seed": "upscale", "decode_seed": "decode"}
        return {field: derive_seed(root, *names, stage) for field, stage in stages.items()}


def _divided(latents: Span) -> Iterator[Span]:
    """Parts that are kept, none longer than it may be."""
    for start in range(latents.start, latents.stop, MOST_KEPT):
        yield Span(start, min(start + MOST_KEPT, latents.stop))
