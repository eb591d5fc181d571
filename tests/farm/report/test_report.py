from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from farm.api import render
from farm.events import EVENT_TYPES, TaskCommitted, TaskStarted
from farm.report.gantt import LEFT, gantt
from farm.report.timeline import explain_waits, read_timeline
from farm.report.write import write_report
from farm.state.event_log import Logged
from jobs.store.store import Store


def record(event: str, at_s: float, **fields: Any) -> Logged:
    return Logged(at_s, EVENT_TYPES[event](**fields))


def started(at_s: float, worker: str, task: str, reason: str = "ready") -> Logged:
    return Logged(at_s, TaskStarted(task, worker, 1, reason))


def committed(at_s: float, worker: str, task: str, seconds: float) -> Logged:
    return Logged(at_s, TaskCommitted(task, worker, 1, seconds, 1))


def test_waits_are_the_gaps_between_a_workers_tasks() -> None:
    timeline = read_timeline(
        [
            record("worker_ready", 0.0, worker="a", device="cpu", seconds=1.0),
            started(0.0, "a", "v/00000/sample"),
            committed(2.0, "a", "v/00000/sample", 2.0),
            started(5.0, "a", "v/00001/sample", "the guide before it was committed"),
            committed(6.0, "a", "v/00001/sample", 1.0),
        ]
    )
    (wait,) = timeline.waits
    assert (wait.start_s, wait.stop_s, wait.task) == (2.0, 5.0, "v/00001/sample")
    assert wait.reason == "the guide before it was committed"
    assert timeline.stage_seconds == {"sample": 3.0}


def test_a_queued_task_begins_when_the_worker_is_free() -> None:
    timeline = read_timeline(
        [
            started(0.0, "a", "v/00000/decode"),
            started(0.1, "a", "v/00001/decode"),
            committed(2.0, "a", "v/00000/decode", 2.0),
            committed(4.0, "a", "v/00001/decode", 2.0),
        ]
    )
    assert [(bar.start_s, bar.stop_s) for bar in timeline.bars] == [(0.0, 2.0), (2.0, 4.0)]
    assert timeline.waits == []


def test_a_lost_worker_leaves_a_failed_bar_and_its_cause() -> None:
    timeline = read_timeline(
        [
            started(0.0, "a", "v/00000/sample"),
            record("worker_gone", 1.5, worker="a", reason="the process was killed"),
        ]
    )
    (bar,) = timeline.bars
    assert (bar.ok, bar.stop_s) == (False, 1.5)
    assert timeline.troubles[0].message == "the process was killed"


def test_the_chart_escapes_what_it_shows() -> None:
    timeline = read_timeline(
        [started(0.0, "a<b", "v/00000/sample", "<script>"), committed(1.0, "a<b", "v/00000/sample", 1.0)]
    )
    drawn = gantt(timeline)
    assert "<script>" not in drawn
    assert "a<b" not in drawn
    assert "a&lt;b" in drawn


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Store:
    home = tmp_path_factory.mktemp("report")
    job = {
        "version": 1,
        "name": "j",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [
            {
                "name": "v",
                "sound": [{"generate": True}],
                "chunks": [
                    {"generate": {"prompt": "a <b>bold</b> prompt", "num_frames": 33}},
                    {"extend": {"prompt": "on", "num_new_frames": 24, "repeat": 2}},
                ],
            }
        ],
        "output": {"dir": str(home / "out")},
    }
    list(render(job, runs=str(home / "runs"), serial=True))
    return Store.find(str(home / "runs"), "j")


def test_the_page_shows_films_seams_time_spec_and_provenance(rendered: Store) -> None:
    page = Path(write_report(rendered)).read_text()
    assert '<video controls aria-label="v" preload="metadata" src="../../out/v.mp4">' in page
    assert page.count("<figure>") == page.count(">shot 1 ·") == 3
    assert page.count('class="seam"') == 2
    assert "a &lt;b&gt;bold&lt;/b&gt; prompt" in page
    assert "<b>bold" not in page
    for heading in ("Workers", "Time", "Retries", "Spec", "Provenance"):
        assert f"<h2>{heading}</h2>" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_the_sound_is_drawn_with_its_film(rendered: Store) -> None:
    page = Path(write_report(rendered)).read_text()
    film = page[page.index("<h2>v</h2>") : page.index("<h2>Workers</h2>")]
    assert 'src="data:image/svg+xml;base64,' in film[film.index('alt="waveform of v"') :]
    assert page.count('class="wave"') == 1
    assert '<p class="soft">3.2 s: generated</p>' in film


def test_every_delivery_is_counted_and_named(tmp_path: Path) -> None:
    job = {
        "version": 3,
        "name": "j",
        "engine": {"name": "fake"},
        "videos": [{"name": "v", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}]}],
        "output": {"dir": str(tmp_path / "out"), "size": "96x128", "deliveries": [{}, {"container": "mkv"}]},
    }
    list(render(job, runs=str(tmp_path / "runs"), serial=True))
    page = Path(write_report(Store.find(str(tmp_path / "runs"), "j"))).read_text()
    assert "<div>films <b>2 / 2</b></div>" in page
    assert f"Delivered as {tmp_path}/out/v.mkv, too." in page
    assert "17 frames at 25 fps, 96×128 ·" in page


def test_the_page_without_the_film_says_so(rendered: Store) -> None:
    film = Path(rendered.url).parents[1] / "out" / "v.mp4"
    kept = film.rename(film.with_suffix(".kept"))
    try:
        assert "is not there any more" in Path(write_report(rendered)).read_text()
    finally:
        kept.rename(film)


def test_the_night_between_two_runs_is_left_out() -> None:
    timeline = read_timeline(
        [
            started(0.0, "a", "v/00000/sample"),
            committed(2.0, "a", "v/00000/sample", 2.0),
            started(2.0, "a", "v/00001/sample"),
            record("worker_ready", 50000.0, worker="a", device="cpu", seconds=1.0),
            record("job_planned", 50001.0, job="j"),
            started(50001.0, "a", "v/00001/sample"),
            committed(50004.0, "a", "v/00001/sample", 3.0),
        ]
    )
    assert timeline.span == (0.0, 2.0 + 5.0 + 3.0)
    assert timeline.resumed == [7.0]
    assert timeline.waits == []
    assert "resumed" in gantt(timeline)


def test_a_run_that_ended_before_its_first_task_moves_nothing() -> None:
    timeline = read_timeline(
        [
            started(0.0, "a", "v/00000/sample"),
            committed(2.0, "a", "v/00000/sample", 2.0),
            record("job_planned", 100.0, job="j"),
            record("job_planned", 200.0, job="j"),
            record("worker_ready", 201.0, worker="a", device="cpu", seconds=1.0),
            started(201.0, "a", "v/00001/sample"),
            committed(204.0, "a", "v/00001/sample", 3.0),
        ]
    )
    starts = [bar.start_s for bar in timeline.bars]
    assert starts == [0.0, 2.0 + 5.0 + 5.0 + 1.0]
    assert timeline.resumed == [7.0, 12.0]
    assert timeline.waits == []


def test_gpu_time_is_that_of_workers_on_gpus() -> None:
    timeline = read_timeline(
        [
            record("worker_ready", 0.0, worker="a", device="cuda:0", seconds=1.0),
            record("worker_ready", 0.0, worker="b", device="cpu", seconds=1.0),
            started(0.0, "a", "v/00000/decode"),
            committed(2.0, "a", "v/00000/decode", 2.0),
            started(0.0, "b", "v/00001/decode"),
            committed(3.0, "b", "v/00001/decode", 3.0),
        ]
    )
    assert (timeline.stage_seconds["decode"], timeline.gpu_seconds["decode"]) == (5.0, 2.0)
    assert timeline.busy_share("a") == pytest.approx(2 / 3)


def test_a_running_job_shows_its_preview(tmp_path: Path) -> None:
    """Written while the driver holds the job, between two of its events."""
    job = {
        "version": 1,
        "name": "j",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [
            {
                "name": "v",
                "chunks": [
                    {"generate": {"prompt": "a", "num_frames": 33}},
                    {"extend": {"prompt": "on", "num_new_frames": 24, "repeat": 3}},
                ],
            }
        ],
        "output": {"dir": str(tmp_path / "out")},
    }
    pages: list[str] = []
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        if getattr(event, "preview", False) and not pages:
            pages.append(Path(write_report(Store.find(str(tmp_path / "runs"), "j"))).read_text())
    (page,) = pages
    assert ">running<" in page
    assert "Still rendering" in page
    assert "a preview of the first" in page
    assert page.count("<figure>") >= 1
    assert "v.preview.mp4" in page


def test_many_films_share_the_pictures_of_one_page(tmp_path: Path) -> None:
    job = {
        "version": 1,
        "name": "j",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [
            {"name": f"v{number}", "chunks": [{"generate": {"prompt": "a", "num_frames": 9}}]}
            for number in range(24)
        ],
        "output": {"dir": str(tmp_path / "out")},
    }
    list(render(job, runs=str(tmp_path / "runs"), serial=True))
    page = Path(write_report(Store.find(str(tmp_path / "runs"), "j"))).read_text()
    assert page.count("<h2>v") == 24
    assert page.count("<figure>") == 20


def test_a_wait_names_what_it_was_for() -> None:
    timeline = read_timeline(
        [
            record("worker_ready", 0.0, worker="b", device="cpu", seconds=1.0),
            started(0.0, "a", "v/00000/sample"),
            committed(4.0, "a", "v/00000/sample", 4.0),
            started(4.1, "b", "v/00000/decode", "decode is furthest downstream"),
            committed(5.0, "b", "v/00000/decode", 0.9),
        ]
    )
    explain_waits(timeline, lambda task: ["v/00000/sample"] if task.endswith("decode") else [])
    wait, rest = timeline.waits
    assert wait.reason == "it needs v/00000/sample, which a finished 4.0 s into the wait"
    assert "finished 4.0 s into the wait" in gantt(timeline)
    assert (rest.worker, rest.task) == ("a", "")
    assert rest.stop_s - rest.start_s == pytest.approx(1.0)
    assert "waited 1.00 s to the end" in gantt(timeline)


def test_a_wait_before_the_first_task_stays_inside_the_chart() -> None:
    timeline = read_timeline(
        [
            record("worker_ready", 0.0, worker="b", device="cpu", seconds=1.0),
            started(10.0, "a", "v/00000/sample"),
            committed(12.0, "a", "v/00000/sample", 2.0),
            started(12.0, "b", "v/00000/segment"),
            committed(13.0, "b", "v/00000/segment", 1.0),
        ]
    )
    (before, _) = timeline.waits
    assert (before.worker, before.start_s) == ("b", 0.0)
    drawn = [float(x) for x in re.findall(r'<rect class="wait" x="([\d.-]+)"', gantt(timeline))]
    assert min(drawn) == LEFT


def test_the_axis_counts_in_hours_and_minutes() -> None:
    def axis(seconds: float) -> str:
        return gantt(
            read_timeline([started(0.0, "a", "v/0/sample"), committed(seconds, "a", "v/0/sample", 1)])
        )

    assert ">5 s<" in axis(50)
    assert ">10 min<" in axis(3600)
    assert ">2 h<" in axis(12 * 3600)


def test_what_runs_is_drawn_up_to_now() -> None:
    log = [started(0.0, "a", "v/00000/sample"), started(0.5, "a", "v/00001/sample")]
    (bar,) = read_timeline(log, now_s=3.0).bars
    assert (bar.task, bar.start_s, bar.stop_s, bar.running) == ("v/00000/sample", 0.0, 3.0, True)
    assert "3.00 s so far" in gantt(read_timeline(log, now_s=3.0))
    assert read_timeline(log).bars == []
