"""Live progress: bars in a terminal, plain lines at a sane rate everywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from farm.events import Event, JobFinished, TaskCommitted
from farm.state.event_lines import event_line
from farm.state.progress import STAGES, Progress, split_task
from jobs.wording import clock, one_line, printable

BAR_CELLS = 24
PLAIN_INTERVAL_S = 8.0
"""A line is due after it and comes with the next event: with tasks of two seconds every ten."""


def bar(done: int, total: int, cells: int = BAR_CELLS) -> str:
    """A bar of `cells` characters."""
    filled = cells * done // total if total else cells
    return "━" * filled + "╌" * (cells - filled)


def status_line(progress: Progress, now_s: float) -> str:
    """One line that says where the job stands: per cent, stages, speed, ETA."""
    done, total = progress.total()
    stages = " ".join(
        f"{stage} {counted(progress, stage)}" for stage in STAGES if stage_total(progress, stage)
    )
    elapsed = 0.0 if progress.started_s is None else now_s - progress.started_s
    speed = f"{progress.frames_done() / elapsed:.1f} frames/s" if elapsed > 0 else "… frames/s"
    percent = 100 * done // total if total else 100
    return f"{percent:3d}% {stages} | {speed} | elapsed {clock(elapsed)} | ETA {clock(progress.eta_s())}"


def counted(progress: Progress, stage: str) -> str:
    """`3/12` of a stage over all videos."""
    return f"{stage_total(progress, stage) - progress.remaining(stage)}/{stage_total(progress, stage)}"


def stage_total(progress: Progress, stage: str) -> int:
    """Stage tasks of this stage in the whole job."""
    return sum(stages.get(stage, 0) for stages in progress.totals.values())


class PlainDisplay:
    """Log lines: what matters at once, where the job stands every `interval_s`."""

    def __init__(self, stream: TextIO, interval_s: float = PLAIN_INTERVAL_S) -> None:
        self.stream, self.interval_s = stream, interval_s
        self.progress = Progress()
        self.last_s = 0.0

    def show(self, event: Event) -> None:
        """Takes one event."""
        now = time.monotonic()
        self.progress.apply(event, now)
        line = event_line(event)
        if line:
            self._write(line)
        elif isinstance(event, TaskCommitted) and now - self.last_s >= self.interval_s:
            self.last_s = now
            self._write(status_line(self.progress, now))

    def _write(self, line: str) -> None:
        self.stream.write(printable(line) + "\n")
        self.stream.flush()

    def close(self) -> None:
        """Nothing to clean up."""


class LiveDisplay:
    """One line a video with bars by stage, one a busy worker, redrawn in place; event lines scroll above."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress()
        self.live = Live(console=console, refresh_per_second=8, get_renderable=self._render, transient=True)
        self.live.start()

    def show(self, event: Event) -> None:
        """Takes one event."""
        self.progress.apply(event, time.monotonic())
        line = event_line(event)
        if line:
            self.live.console.print(Text(printable(line)))

    def close(self) -> None:
        """Takes the bars off the screen."""
        self.live.stop()

    def _render(self) -> Group:
        now = time.monotonic()
        return Group(self._videos(), *self._workers(now), Text(status_line(self.progress, now)))

    def _videos(self) -> Table:
        table = Table.grid(padding=(0, 2))
        shown = [stage for stage in STAGES[1:] if stage_total(self.progress, stage)]
        for video in self._visible_videos():
            cells = [Text(one_line(video), style="bold")]
            for stage in shown:
                done, total = self.progress.counts(video, stage)
                cells.append(Text(f"{stage} {bar(done, total, BAR_CELLS // len(shown) * 2)} {done}/{total}"))
            table.add_row(*cells)
        return table

    def _visible_videos(self) -> list[str]:
        """Unfinished films first, as many as half the screen holds."""
        videos = [video for video in self.progress.totals if video != "encode"]
        unfinished = [video for video in videos if not self._finished(video)]
        return (unfinished or videos)[: max(3, self.console.height // 2)]

    def _finished(self, video: str) -> bool:
        done, total = self.progress.counts(video, "segment")
        return done >= total

    def _workers(self, now_s: float) -> Iterator[Text]:
        running = [held for held in self.progress.holdings.all_held() if held.began_s is not None]
        shown = sorted(running, key=lambda held: held.worker)[: max(3, self.console.height // 3)]
        for held in shown:
            video, chunk, stage = split_task(held.task)
            seconds = now_s - (held.began_s or now_s)
            line = f"  {held.worker}  {stage} {video} {chunk}  {seconds:.1f} s"
            yield Text(one_line(line), style="dim")


def follow(events: Iterable[Event], tap: Callable[[Event], None] | None = None) -> JobFinished | None:
    """Shows a stream of events until it ends; returns the final event.

    Progress goes to standard error, so that standard output holds results alone.
    """
    console = Console(stderr=True)
    display = LiveDisplay(console) if console.is_terminal else PlainDisplay(sys.stderr)
    finished = None
    try:
        for event in events:
            display.show(event)
            if tap:
                tap(event)
            if isinstance(event, JobFinished):
                finished = event
    finally:
        display.close()
    return finished
