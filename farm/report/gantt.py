"""The Gantt chart of a job as inline SVG: one row a worker, one bar an attempt, waits explained."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.report.timeline import Bar, Timeline, Wait

WIDTH, ROW, LEFT, TOP = 1100, 26, 176, 24
MOST_BARS = 6000
MOST_LETTERS = 18
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)


def gantt(timeline: Timeline, most: int = MOST_BARS) -> str:
    """An SVG element; empty where nothing ran. Of more than `most` attempts the longest are drawn."""
    if not timeline.bars:
        return ""
    start, stop = timeline.span
    scale = (WIDTH - LEFT - 10) / max(stop - start, 1e-3)
    rows = {worker: number for number, worker in enumerate(timeline.workers)}
    height = TOP + ROW * len(rows) + 6
    bars = sorted(timeline.bars, key=lambda bar: bar.start_s - bar.stop_s)[:most]
    parts = [
        f'<svg class="gantt" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="What each worker did">'
    ]
    parts += [_stripe(row) for row in rows.values() if row % 2 == 0]
    parts += _axis(stop - start, scale, height)
    parts += [_label(name, timeline.busy_share(name), row) for name, row in rows.items()]
    parts += [_resumed(at_s, start, scale, height) for at_s in timeline.resumed]
    parts += [_wait(wait, rows[wait.worker], start, scale) for wait in timeline.waits if wait.worker in rows]
    parts += [_bar(bar, rows[bar.worker], start, scale) for bar in bars if bar.worker in rows]
    return "".join([*parts, "</svg>"])


def _axis(seconds: float, scale: float, height: int) -> list[str]:
    step = next((tick for tick in TICKS if seconds / tick <= 12), TICKS[-1])
    marks = []
    for number in range(int(seconds / step) + 1):
        x = LEFT + number * step * scale
        marks.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}"/>')
        marks.append(f'<text class="time" x="{x:.1f}" y="{TOP - 10}">{_tick(number * step, step)}</text>')
    return marks


def _tick(seconds: float, step: float) -> str:
    """A time on the axis, in the largest unit that the step is made of."""
    size, unit = next(((size, unit) for size, unit in ((3600, "h"), (60, "min")) if step >= size), (1, "s"))
    return f"{seconds / size:g} {unit}"


def _stripe(row: int) -> str:
    return f'<rect class="row" x="0" y="{TOP + ROW * row}" width="{WIDTH}" height="{ROW}" rx="4"/>'


def _label(name: str, busy: float, row: int) -> str:
    y = TOP + ROW * row + 17
    return (
        f'<text class="worker" x="6" y="{y}">{escape(name[:MOST_LETTERS])}'
        f"<title>{escape(name)}</title></text>"
        f'<text class="share" x="{LEFT - 10}" y="{y}">{100 * busy:.0f} %</text>'
    )


def _resumed(at_s: float, start_s: float, scale: float, height: int) -> str:
    x = LEFT + (at_s - start_s) * scale
    return (
        f'<line class="resumed" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height}">'
        "<title>resumed here; the time between is left out</title></line>"
    )


def _bar(bar: Bar, row: int, start_s: float, scale: float) -> str:
    x, width = LEFT + (bar.start_s - start_s) * scale, max((bar.stop_s - bar.start_s) * scale, 0.6)
    kind = f"bar {bar.stage}" if bar.ok else "bar failed"
    if bar.running:
        kind += " running"
    so_far = " so far" if bar.running else ""
    title = f"{bar.task}\n{bar.stop_s - bar.start_s:.2f} s{so_far}\n{bar.reason}"
    return (
        f'<rect class="{kind}" x="{x:.2f}" y="{TOP + ROW * row + 3}" width="{width:.2f}" height="{ROW - 8}">'
        f"<title>{escape(title)}</title></rect>"
    )


def _wait(wait: Wait, row: int, start_s: float, scale: float) -> str:
    # A worker that was ready before the first task waited outside of the chart, too.
    seen_s = max(wait.start_s, start_s)
    x, width = LEFT + (seen_s - start_s) * scale, (wait.stop_s - seen_s) * scale
    until = f"until {wait.task} could start" if wait.task else "to the end"
    title = f"waited {wait.stop_s - wait.start_s:.2f} s {until}\n{wait.reason}"
    return (
        f'<rect class="wait" x="{x:.2f}" y="{TOP + ROW * row + 9}" width="{width:.2f}" height="{ROW - 20}">'
        f"<title>{escape(title)}</title></rect>"
    )
