"""When a job was created: what `{date}` in the names of its films means."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.state.job_state import STATE_FORM
from jobs.spec.output import DATE

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.store import Store


def dated(plan: Plan, store: Store) -> Plan:
    """The plan with the date, UTC, on which the job of this store was first rendered, in the names of its
    films, too; today for a new one."""
    known = store.recall(STATE_FORM)
    date = (known.created or _date(known.started_s)) if known else _date(time.time())
    videos = tuple(
        replace(
            video,
            output=video.output.replace(DATE, date),
            more_outputs=tuple(name.replace(DATE, date) for name in video.more_outputs),
        )
        if any(DATE in name for name in video.outputs)
        else video
        for video in plan.videos
    )
    return replace(plan, videos=videos, created=date)


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
