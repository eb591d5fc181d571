"""What changes reaches every viewer: each part is rendered once for all of them, and sent where it is new."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aiohttp import web

from farm.page.views import Section
from jobs.errors import FarmError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_S = 2.0
SHARE = 5.0
"""Of a second, rendering takes at most one part in five."""
MOMENT_S = 0.25
BEAT_S = 15.0
MOST_KEPT = 32


@dataclass(slots=True)
class _Rendered:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    sections: list[Section] = field(default_factory=list)
    due_s: float = 0.0


class Fresh:
    """Sections by what they show, as new as two seconds, or as rendering them allows."""

    def __init__(self) -> None:
        self._rendered: dict[str, _Rendered] = {}

    async def get(self, key: str, render: Callable[[], list[Section]]) -> list[Section]:
        """The sections of `key`; raises what `render` does."""
        kept = self._rendered.setdefault(key, _Rendered())
        async with kept.lock:
            if time.monotonic() >= kept.due_s:
                began_s = time.monotonic()
                kept.sections = await asyncio.to_thread(render)
                ended_s = time.monotonic()
                kept.due_s = ended_s + max(INTERVAL_S, SHARE * (ended_s - began_s))
        if len(self._rendered) > MOST_KEPT:
            self._rendered = {key: kept}
        return kept.sections

    async def soon(self, key: str, render: Callable[[], list[Section]]) -> list[Section]:
        """For a first view: what is kept, where new sections take longer than a moment; the viewer is sent
        those as soon as they are there."""
        kept = self._rendered.get(key)
        fresh = asyncio.ensure_future(self.get(key, render))
        if kept is not None and kept.sections:
            fresh.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([fresh], timeout=MOMENT_S)
            if not fresh.done():
                return kept.sections
        return await fresh

    def forget(self) -> None:
        """Somebody acted: what is shown may be old."""
        for kept in self._rendered.values():
            kept.due_s = 0.0


async def follow(
    request: web.Request, fresh: Fresh, key: str, render: Callable[[], list[Section]]
) -> web.StreamResponse:
    """Server-sent events until the viewer leaves: `sections` that changed, the `order` of all where that did,
    `gone` where the job is."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
    await response.prepare(request)
    have = set(request.query.get("have", "").split(","))
    names: list[str] = []
    beat_s = time.monotonic()
    while request.transport is not None and not request.transport.is_closing():
        try:
            sections = await fresh.get(key, render)
        except UsageError:
            await _send(response, "gone", None)
            break
        except FarmError:
            sections = []
        if changed := [at for at, section in enumerate(sections) if section.mark not in have]:
            await _send(response, "sections", [_record(sections, at) for at in changed])
            have = {section.mark for section in sections}
            beat_s = time.monotonic()
        if sections and names != [section.name for section in sections]:
            names = [section.name for section in sections]
            await _send(response, "order", names)
        if time.monotonic() - beat_s >= BEAT_S:
            beat_s = time.monotonic()
            await response.write(b": here\n\n")
        await asyncio.sleep(INTERVAL_S / 4)
    return response


def _record(sections: list[Section], at: int) -> dict[str, str]:
    section = sections[at]
    before = sections[at - 1].name if at else ""
    return {"name": section.name, "mark": section.mark, "html": section.html, "after": before}


async def _send(response: web.StreamResponse, event: str, data: object) -> None:
    await response.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())
