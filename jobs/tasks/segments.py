"""Segments: a task for each way in which the frames of a chunk are encoded.

Deliveries that differ in container or sound alone share their segments. All are encoded from the same
decodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.formats import CODECS, USUAL_PROFILE
from jobs.planning.params import SegmentParams
from jobs.spec.framing import Framing, framing
from jobs.tasks.retakes import shown_source_id, splice_of
from jobs.tasks.rounds import decodes_of
from jobs.tasks.task import Need, Stage, StageTask, task_id

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedChunk, PlannedVideo
    from jobs.spec.output import FilmFormat


@dataclass(frozen=True, slots=True)
class Encoding:
    """What of a format reaches its segments, as in `SegmentParams`."""

    codec: str
    profile: str
    pixel_format: str
    crf: int
    preset: str
    framing: Framing | None = None


def encoding_of(form: FilmFormat, width: int, height: int) -> Encoding:
    """How frames of `width` x `height` pixels are encoded for films of this format."""
    form = form.usual
    name = str(form.codec)
    codec = CODECS[name]
    return Encoding(
        codec=name,
        profile=form.profile if form.profile not in (None, USUAL_PROFILE) else "",
        pixel_format=form.pixel_format or codec.pixel_format,
        crf=form.crf if codec.has_crf else 0,
        preset=form.preset if codec.has_crf else "",
        framing=framing(form, width, height),
    )


def encodings(plan: Plan, video: PlannedVideo) -> Mapping[Encoding, str]:
    """Every way in which the frames of a video are encoded, with the label of its tasks: empty for the first,
    `prores-4444` or `hevc-2` for others."""
    labels: dict[Encoding, str] = {}
    seen: Counter[str] = Counter()
    for delivery in plan.deliveries(video):
        encoding = encoding_of(delivery.format, video.width, video.height)
        if encoding not in labels:
            words = "-".join(filter(None, (encoding.codec, encoding.profile)))
            seen[words] += 1
            label = words if seen[words] == 1 else f"{words}-{seen[words]}"
            labels[encoding] = label if labels else ""
    return labels


def segment_id(video: str, chunk: int, label: str = "") -> str:
    """`dawn/00003/segment`, or `dawn/00003.hevc/segment`."""
    whole = task_id(video, chunk, Stage.SEGMENT)
    return whole.replace("/segment", f".{label}/segment") if label else whole


def segment_tasks(
    plan: Plan, video: PlannedVideo, chunk: PlannedChunk, ways: Mapping[Encoding, str]
) -> Iterator[StageTask]:
    """The segments of one chunk, encoded in these ways."""
    needs = [Need("frames", decode) for decode in decodes_of(video, chunk)]
    if chunk.fade_frames:
        needs.append(Need("previous", task_id(chunk.video, chunk.index - 1, Stage.DECODE)))
    splice = splice_of(chunk)
    if splice is not None:
        needs.append(Need("source", shown_source_id(chunk)))
    for encoding, label in ways.items():
        codec = CODECS[encoding.codec]
        params = SegmentParams(
            width=video.width,
            height=video.height,
            frame_rate=video.frame_rate,
            fade_frames=chunk.fade_frames,
            owned_frames=len(chunk.owned),
            codec=encoding.codec,
            container=codec.segment_suffix.lstrip("."),
            crf=encoding.crf,
            preset=encoding.preset,
            pixel_format=encoding.pixel_format,
            encode_threads=plan.run.encode_threads,
            audio=chunk.sound == "generate",
            profile=encoding.profile,
            framing=encoding.framing,
            splice=splice,
        )
        made = encoding.framing or video
        yield StageTask(
            id=segment_id(chunk.video, chunk.index, label),
            stage=Stage.SEGMENT,
            video=chunk.video,
            chunk=chunk.index,
            shot=chunk.shot,
            needs=tuple(needs) if chunk.owned else (),
            params=params,
            bytes_estimate=int(len(chunk.owned) * made.width * made.height * codec.pixel_bytes),
        )
