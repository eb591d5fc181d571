"""A film's cuts for editors: OpenTimelineIO beside the film, and chapters inside it.

The timeline is JSON in the schemas that OpenTimelineIO publishes (Timeline.1, Clip.2, Marker.2 and others,
https://opentimelineio.readthedocs.io/en/latest/tutorials/otio-serialized-schema.html). Times count frames of
the film at its rate, which JSON has as a number; the exact fraction stands in the metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

from actors.media.codecs import PNG_DIGITS, PNG_SUFFIX, rate_text
from jobs.formats import SOUND_SUFFIX
from jobs.frames import Span, exact_rate
from jobs.planning.output_names import PNG_SEQUENCE
from jobs.planning.planned import PlannedChunk

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import MadeWith
    from jobs.planning.planned import Plan, PlannedDelivery, PlannedVideo

OURS = "ltx_farm"
"""Whose the metadata are, as OpenTimelineIO asks of every writer."""
CHUNK_COLOR, BEAT_COLOR = "GREEN", "ORANGE"
_ESCAPED = str.maketrans({sign: f"\\{sign}" for sign in "=;#\\\n"})

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FilmShot:
    """One shot as the film shows it: `frames` count the film's, `chunks` those of which it shows any."""

    name: str
    frames: Span
    chunks: tuple[PlannedChunk, ...]


def film_shots(video: PlannedVideo) -> Iterator[FilmShot]:
    """The shots of a film in order, end to end."""
    shown = (chunk for chunk in video.chunks if chunk.owned)
    for number, chunks in groupby(shown, key=lambda chunk: chunk.shot):
        every = tuple(chunks)
        frames = Span(every[0].owned.start, every[-1].owned.stop)
        yield FilmShot(video.shot_name(number), frames, every)


def chapters(video: PlannedVideo) -> str:
    """The shots as chapters, in ffmpeg's metadata format. One tick is that of the film's rate, so each begins
    exactly with its frame."""
    rate = exact_rate(video.frame_rate)
    lines = [";FFMETADATA1"]
    for shot in film_shots(video):
        start, stop = (frame * rate.denominator for frame in (shot.frames.start, shot.frames.stop))
        lines += ["[CHAPTER]", f"TIMEBASE=1/{rate.numerator}", f"START={start}", f"END={stop}"]
        lines.append(f"title={shot.name.translate(_ESCAPED)}")
    return "\n".join(lines) + "\n"


def with_chapters(command: list[str], video: PlannedVideo, path: Path) -> list[str]:
    """An ffmpeg command with one more input, the chapters, which are written to `path`."""
    path.write_text(chapters(video), encoding="utf-8")
    inputs = [at for at, word in enumerate(command) if word == "-i"]
    last = inputs[-1] + 2
    mapped, none = command.index("-map_chapters") + 1, command.index("-map_metadata")
    changed = [*command[:mapped], str(len(inputs)), *command[mapped + 1 :]]
    # Without a word for what, none of the chapters' titles would be copied either.
    changed[none : none + 2] = ["-map_metadata:g", "-1", "-map_metadata:s", "-1"]
    return [*changed[:last], "-f", "ffmetadata", "-i", str(path), *changed[last:]]


def timeline(plan: Plan, video: PlannedVideo, made_with: Sequence[MadeWith] = ()) -> bytes:
    """The film as an OpenTimelineIO document: a clip for each shot, a marker for each chunk and each beat,
    the deliveries as media, by names relative to the document. `made_with` as in `FilmState`."""
    return (json.dumps(_Writer(plan, video, made_with).document(), indent=1) + "\n").encode()


class _Writer:
    def __init__(self, plan: Plan, video: PlannedVideo, made_with: Sequence[MadeWith]) -> None:
        self._plan, self._video, self._made_with = plan, video, made_with
        self._rate = exact_rate(video.frame_rate)
        self._deliveries = plan.deliveries(video)

    def document(self) -> Json:
        shots = list(film_shots(self._video))
        tracks = [self._track("Video", [self._shot(shot) for shot in shots])]
        if self._video.sound is not None:
            tracks.append(self._track("Audio", [self._sound()]))
        stack = _item("Stack.1", "tracks", source_range=None, enabled=True, effects=[], markers=[])
        metadata: Json = {
            "job": self._plan.job,
            "video": self._video.name,
            "frames": self._video.frames,
            "rate": rate_text(self._rate),
        }
        if self._made_with:
            metadata |= {"exact": False, "made_with": [asdict(kind) for kind in self._made_with]}
        return _item(
            "Timeline.1",
            self._video.name,
            metadata,
            global_start_time=self._time(0),
            tracks={**stack, "children": tracks},
        )

    def _track(self, kind: str, clips: list[Json]) -> Json:
        fields: Json = {"source_range": None, "enabled": True, "effects": [], "markers": []}
        return _item("Track.1", kind.lower(), kind=kind, children=clips, **fields)

    def _shot(self, shot: FilmShot) -> Json:
        markers = [marker for chunk in shot.chunks for marker in self._markers(chunk, shot)]
        chunks = [_facts(chunk) for chunk in shot.chunks]
        return self._clip(shot.name, shot.frames, self._deliveries, {"chunks": chunks}, markers)

    def _sound(self) -> Json:
        return self._clip("sound", Span(0, self._video.frames), self._deliveries, {}, [], heard=True)

    def _clip(
        self,
        name: str,
        frames: Span,
        deliveries: Sequence[PlannedDelivery],
        metadata: Json,
        markers: list[Json],
        heard: bool = False,
    ) -> Json:
        return _item(
            "Clip.2",
            name,
            metadata,
            source_range=self._range(frames),
            enabled=True,
            effects=[],
            markers=markers,
            media_references={each.name: self._media(each, heard) for each in deliveries},
            active_media_reference_key=deliveries[0].name,
        )

    def _media(self, delivery: PlannedDelivery, heard: bool) -> Json:
        whole = {"available_range": self._range(Span(0, self._video.frames)), "available_image_bounds": None}
        name = delivery.name
        if delivery.format.container != PNG_SEQUENCE:
            return _item("ExternalReference.1", name, target_url=name, **whole)
        if heard:
            return _item("ExternalReference.1", name, target_url=name + SOUND_SUFFIX, **whole)
        return _item(
            "ImageSequenceReference.1",
            name,
            target_url_base=f"{name}/",
            name_prefix="",
            name_suffix=PNG_SUFFIX,
            start_frame=0,
            frame_step=1,
            rate=float(self._rate),
            frame_zero_padding=PNG_DIGITS,
            missing_frame_policy="error",
            **whole,
        )

    def _markers(self, chunk: PlannedChunk, shot: FilmShot) -> Iterator[Json]:
        yield self._marker(f"chunk {chunk.index}", chunk.owned, CHUNK_COLOR, _facts(chunk))
        at = shot.chunks.index(chunk)
        if at and chunk.is_sampled and chunk.prompt != shot.chunks[at - 1].prompt:
            here = Span(chunk.owned.start, chunk.owned.start)
            yield self._marker("beat", here, BEAT_COLOR, {"prompt": chunk.prompt})

    def _marker(self, name: str, frames: Span, color: str, metadata: Json) -> Json:
        return _item("Marker.2", name, metadata, color=color, marked_range=self._range(frames), comment="")

    def _range(self, frames: Span) -> Json:
        start, length = self._time(frames.start), self._time(len(frames))
        return {"OTIO_SCHEMA": "TimeRange.1", "start_time": start, "duration": length}

    def _time(self, frames: int) -> Json:
        return {"OTIO_SCHEMA": "RationalTime.1", "rate": float(self._rate), "value": float(frames)}


def _item(schema: str, name: str, metadata: Json | None = None, **fields: Any) -> Json:
    return {"OTIO_SCHEMA": schema, "name": name, "metadata": {OURS: metadata} if metadata else {}, **fields}


def _facts(chunk: PlannedChunk) -> Json:
    """How a chunk was made. Seeds are text, as they may be larger than numbers that every reader keeps."""
    return {
        "chunk": chunk.index,
        "kind": chunk.kind,
        "start_frame": chunk.owned.start,
        "frames": len(chunk.owned),
        "prompt": chunk.prompt,
        "negative": chunk.negative,
        "seed": str(chunk.seed),
        "upscale_seed": str(chunk.upscale_seed),
    }
