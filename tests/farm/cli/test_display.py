"""Progress: plain lines at a sane rate, bars in a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from farm.cli.display import LiveDisplay, PlainDisplay, bar, status_line
from farm.events import (
    FilmDelivered,
    JobFinished,
    JobPlanned,
    LostAttempt,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
    WorkerGone,
    WorkerPlaced,
    WorkerReady,
)
from farm.state.event_lines import event_line
from farm.state.progress import Progress
from jobs.wording import clock, duration

CHUNKS = 50


def planned() -> JobPlanned:
    totals = {"dawn": {"sample": CHUNKS, "decode": CHUNKS, "segment": CHUNKS}}
    done = {"dawn": {"sample": 0, "decode": 0, "segment": 0}}
    return JobPlanned("j", "runs/j", ("dawn",), 400, 3 * CHUNKS, 0, totals, done)


def commits() -> list[TaskCommitted]:
    tasks = [
        f"dawn/{chunk:05d}/{stage}" for chunk in range(CHUNKS) for stage in ("sample", "decode", "segment")
    ]
    return [TaskCommitted(task, "a", 1, 0.1, 10) for task in tasks]


@pytest.mark.parametrize(("seconds", "text"), [(None, "…"), (3.4, "0:03"), (754, "12:34"), (3723, "1:02:03")])
def test_clock(seconds: float | None, text: str) -> None:
    assert clock(seconds) == text


def test_duration_and_bar() -> None:
    assert (duration(4.25), duration(61)) == ("4.2 s", "1:01")
    assert (bar(0, 4, 4), bar(1, 4, 4), bar(4, 4, 4), bar(0, 0, 4)) == ("╌╌╌╌", "━╌╌╌", "━━━━", "━━━━")


def test_plain_lines_do_not_flood(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 commits in 75 s: a line every eight seconds, and what matters at once."""
    now = [0.0]
    monkeypatch.setattr("farm.cli.display.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    display = PlainDisplay(stream)
    now[0] = 100.0
    display.show(planned())
    for event in commits():
        now[0] += 0.5
        display.show(TaskStarted(event.task, "a", 1, ""))
        display.show(event)
    display.show(Notice("waiting for room"))
    display.show(FilmDelivered("dawn", "out/dawn.mp4", "0" * 64, 400, 25.0))
    lines = stream.getvalue().splitlines()
    rates = [line for line in lines if "frames/s" in line]
    assert 9 <= len(rates) <= 10
    assert "ETA" in rates[-1]
    assert "100%" not in rates[0]
    assert lines[-2:] == ["waiting for room", "film dawn: out/dawn.mp4 (400 frames at 25 fps)"]
    assert "\x1b" not in stream.getvalue()


def test_every_trouble_is_a_line() -> None:
    failed = TaskFailed("dawn/00000/sample", "a", 2, "hang", "no result", "tried again")
    assert event_line(failed) == "dawn/00000/sample attempt 2 failed (hang): no result; tried again"
    assert "during dawn/00000/sample" in str(
        event_line(WorkerGone("a", "its node died", (LostAttempt("dawn/00000/sample", 1),)))
    )
    assert event_line(WorkerPlaced("a", "n", ("sample",))) == "worker a placed on n; it loads sample"
    assert event_line(JobFinished("j", "done")) == "job j: done"


def test_status_line_counts_stages_and_speed() -> None:
    progress = Progress()
    progress.apply(planned(), 0.0)
    progress.apply(WorkerPlaced("a", "n", ("sample", "decode", "segment")), 0.0)
    for event in commits()[:75]:
        progress.apply(event, 5.0)
    line = status_line(progress, 10.0)
    assert line == " 50% sample 25/50 decode 25/50 segment 25/50 | 20.0 frames/s | elapsed 0:10 | ETA 0:08"


def test_bars_and_workers_on_a_terminal() -> None:
    """What one frame of the live display shows, on a screen of 100 by 30."""
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    display = LiveDisplay(console)
    try:
        display.show(planned())
        display.show(WorkerReady("mono-0", "cuda:0", 3.0))
        display.show(commits()[0])
        display.show(TaskStarted("dawn/00001/sample", "mono-0", 1, ""))
        frame = Console(file=io.StringIO(), width=100, height=30)
        frame.print(display._render())
        text = frame.file.getvalue()  # type: ignore[attr-defined]
    finally:
        display.close()
    assert "sample ╌" in text
    assert "1/50" in text
    assert "mono-0  sample dawn 00001" in text
    assert max(map(len, text.splitlines())) <= 100


def test_a_failure_names_its_task_once() -> None:
    task = "dawn/00001/sample"
    line = event_line(TaskFailed(task, "a", 2, "bug", f"{task}: KeyError: 'x'", "tried again"))
    assert line == "dawn/00001/sample attempt 2 failed (bug): KeyError: 'x'; tried again"
