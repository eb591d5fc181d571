"""Tasks of a source with retakes: frames that are shown as they are, and clips that are made in part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from jobs.frames import frames_of
from jobs.planning.params import EncodeSource
from jobs.planning.retakes.layout import fades, sampled_frames
from jobs.planning.retakes.params import PartlyMade, ShowSource, Splice
from jobs.tasks.task import Stage, task_id

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedChunk, PlannedRetake, PlannedVideo


def shown_source_id(chunk: PlannedChunk) -> str:
    """`dawn/00003.source/decode`: what the source shows where a chunk is made anew."""
    whole = task_id(chunk.video, chunk.index, Stage.DECODE)
    return whole.replace("/decode", ".source/decode") if chunk.retake else whole


def shown_source(chunk: PlannedChunk, video: PlannedVideo) -> ShowSource:
    """The frames of the source that a chunk owns."""
    source = chunk.source
    assert source is not None
    return ShowSource(
        path=source.path,
        width=video.width,
        height=video.height,
        frame_rate=video.frame_rate,
        skip_frames=source.skip_frames - chunk.owned.start,
        start=chunk.owned.start,
        frames=len(chunk.owned),
        sample_rate=_sample_rate(chunk, video),
        sound_start_s=source.sound_start_s,
        fit=source.fit,
    )


def encoded_source(chunk: PlannedChunk, video: PlannedVideo) -> EncodeSource:
    """The clip that a retake is sampled in, as the source has it."""
    source, retake = chunk.source, chunk.retake
    assert source is not None
    assert retake is not None
    return EncodeSource(
        kind="video",
        path=source.path,
        width=video.base_width,
        height=video.base_height,
        frames=frames_of(len(retake.clip)),
        frame_rate=video.frame_rate,
        skip_frames=source.skip_frames - chunk.owned.start + sampled_frames(retake.clip).start,
        sample_rate=_sample_rate(chunk, video),
        sound_start_s=source.sound_start_s if _sample_rate(chunk, video) else 0.0,
        fit=source.fit,
    )


def _sample_rate(chunk: PlannedChunk, video: PlannedVideo) -> int | None:
    return video.sound.sample_rate if video.sound and chunk.sound == "generate" else None


def makes_sound(chunk: PlannedChunk) -> bool:
    """Whether the model makes the sound of a chunk, or some of it."""
    return chunk.sound == "generate" and (chunk.retake is None or chunk.retake.sound)


def sampled_sound(chunk: PlannedChunk) -> Literal["condition", "generate", "hold"] | None:
    """What becomes of the sound while a chunk is sampled: a retake that keeps its source's holds it."""
    return chunk.sound if makes_sound(chunk) or chunk.sound != "generate" else "hold"


def partly_made(retake: PlannedRetake) -> PartlyMade:
    """What of its clip is made, counted from the clip's first latent."""
    return PartlyMade(retake.made.shifted(-retake.clip.start), retake.picture, retake.sound)


def splice_of(chunk: PlannedChunk) -> Splice | None:
    """How a retake's frames are put into the source's; None for other chunks."""
    retake = chunk.retake
    return Splice(*fades(retake), retake.picture, retake.sound) if retake else None
