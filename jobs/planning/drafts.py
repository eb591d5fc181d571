"""Drafts: films of the first pass alone, at base size, to be looked at before the second pass is paid for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from jobs.planning.output_names import draft_name
from jobs.planning.windows import shown_again

if TYPE_CHECKING:
    from collections.abc import Collection

    from jobs.planning.planned import Plan, PlannedVideo


def with_drafts(plan: Plan, approved: Collection[str]) -> Plan:
    """The plan with every video a draft that is not among those `approved`; one without a second pass stays
    as it is."""
    if plan.upscale is None:
        return plan
    videos = tuple(video if video.name in approved else _draft(video, plan) for video in plan.videos)
    return replace(plan, videos=videos)


def _draft(video: PlannedVideo, plan: Plan) -> PlannedVideo:
    first = plan.output.formats[0]
    return replace(
        video,
        chunks=tuple(shown_again(video.chunks, None, plan.decode)),
        width=video.base_width,
        height=video.base_height,
        output=draft_name(video.name, first.container),
        more_outputs=(),
        draft=True,
    )
