"""The explicit form of a spec: its shots written as the chunks that they are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.errors import Problem, UsageError
from jobs.planning.shots import ShotLayout

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec
    from jobs.spec.video import Video

LAYS_CHUNKS = ("frame_rate", "num_frames", "num_new_frames", "overlap_frames")
"""Fields of `defaults` that say how a shot is divided."""


def explicit_data(spec: JobSpec) -> dict[str, Any]:
    """What of the spec was set, as JSON data, without shots: it loads to a plan of the same digests.

    Raises UsageError where the videos of a matrix are divided differently.
    """
    data: dict[str, Any] = spec.model_dump(mode="json", exclude_unset=True)
    for key in LAYS_CHUNKS:
        if key in spec.matrix and any(video.shots for video in spec.videos):
            rule = f"one explicit form for all videos; those of this matrix differ in `{key}`"
            remedy = f"take `{key}` out of `matrix`, or give it with -p"
            raise UsageError([Problem("--explicit", f"matrix.{key}", rule, remedy)])
    for written, video in zip(data["videos"], spec.videos, strict=True):
        if video.shots:
            del written["shots"]
            seeds = {shot.name: shot.seed for shot in video.shots if shot.seed is not None}
            for track in written.get("sound", ()):
                if track.get("shot") in seeds:
                    if track.get("generate"):
                        track.setdefault("name", track["shot"])
                    track["shot"] = f"seed-{seeds[track['shot']]}"
            written["chunks"] = _chunks(video, spec)
    return data


def _chunks(video: Video, spec: JobSpec) -> list[dict[str, Any]]:
    rate = video.frame_rate or spec.defaults.frame_rate
    layouts = (ShotLayout(shot, spec.defaults, rate) for shot in video.shots)
    made = (each.chunk for layout in layouts for each in layout.chunks())
    return [chunk.model_dump(mode="json", exclude_unset=True) for chunk in made]
