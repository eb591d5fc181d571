"""The serial reference end to end: real stage steps, real ffmpeg, a real store; the fake engine makes
the latents."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.media import process
from actors.media.ffmpeg import find_ffmpeg
from actors.media.listing import packet_times
from actors.media.probe import probe_audio
from actors.media.process import Call
from farm.api import films, render
from farm.events import (
    FilmDelivered,
    JobPlanned,
    Notice,
    TaskCommitted,
    TaskFailed,
    TaskStarted,
)
from farm.options import RenderOptions
from farm.specs.load import load
from farm.verbs.plan import PlanRequest, plan_job
from jobs.errors import StoreUnusable, UsageError
from jobs.hashing import sha256_of_file
from jobs.store.store import Store
from jobs.tasks.task import Stage
from tests.farm.execution.serial_renders import committed, delivered, last, run, spec


def test_a_render_delivers_the_planned_film(tmp_path: Path) -> None:
    events = run(spec(tmp_path / "out"), tmp_path / "runs")
    (film,) = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    assert (film.frames, film.fps) == (33 + 24 + 24 + 17, 24.0)
    assert sha256_of_file(Path(film.path)) == film.sha256
    state = json.loads((tmp_path / "runs" / "j" / "state.json").read_text())
    assert state["outcome"] == "done"
    assert state["videos"][0]["frames"] == film.frames
    assert state["tasks"] == {"total": 20, "committed": 20, "reused": 0, "retried": 0}


@pytest.mark.parametrize("sound", [[], [{"generate": True}]])
def test_a_lagging_film_has_the_same_length(tmp_path: Path, sound: list[dict[str, bool]]) -> None:
    job = spec(tmp_path / "out", decode={"seam": "lag"})
    job["videos"][0]["sound"] = sound
    events = run(job, tmp_path / "runs")
    assert last(events).outcome == "done"
    (film,) = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    assert (film.frames, film.fps) == (33 + 24 + 24 + 17, 24.0)


def test_generated_sound_goes_on_from_a_source(tmp_path: Path) -> None:
    clip = Path(__file__).parents[3] / "examples" / "assets" / "clip.mp4"
    video = {
        "name": "v",
        "source": {"video": str(clip), "last_frames": 17},
        "sound": [{"generate": True}],
        "chunks": [{"extend": {"prompt": "on", "num_new_frames": 24}}],
    }
    events = run(spec(tmp_path / "out", videos=[video]), tmp_path / "runs")
    assert last(events).outcome == "done"
    (film,) = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    assert probe_audio(film.path).sample_rate == 48000


def matrix(out: Path) -> dict[str, Any]:
    """Two films that differ in their last of three chunks."""
    chunks = [
        {"generate": {"prompt": "one", "num_frames": 17}},
        {"extend": {"prompt": "two", "num_new_frames": 16}},
        {"extend": {"prompt": "so {mood}", "num_new_frames": 16}},
    ]
    videos = [{"name": "v", "chunks": chunks}]
    return spec(out, videos=videos, matrix={"mood": ["calm", "wild"]}, upscale=None)


def test_equal_tasks_of_two_films_are_computed_once(tmp_path: Path) -> None:
    events = run(matrix(tmp_path / "out"), tmp_path / "runs")
    started = [event.task for event in events if isinstance(event, TaskStarted)]
    assert len(started) == len(set(started)) == 4 + 3 * (2 + 2), (
        "prompts, and three stages of what is shared and what is not"
    )
    assert not any(isinstance(event, TaskFailed) for event in events)
    assert {f"v-mood-{mood}/00000/segment" for mood in ("calm", "wild")} <= committed(events)
    planned = next(event for event in events if isinstance(event, JobPlanned))
    assert not any(done for stages in planned.done.values() for done in stages.values())
    assert last(events).state["tasks"]["total"] == planned.tasks == len(committed(events))
    found = delivered(events)
    for mood in ("calm", "wild"):
        alone = {**matrix(tmp_path / mood), "matrix": {"mood": [mood]}}
        assert list(delivered(run(alone, tmp_path / f"runs-{mood}")).values()) == [found[f"v-mood-{mood}"]]


def test_a_quarantined_task_takes_its_duplicates_along(tmp_path: Path) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"faults": [{"task": "v-mood-calm/00001/sample", "do": "raise"}]}))
    job = {**matrix(tmp_path / "out"), "engine": {"name": "fake", "fake": {"faults": str(faults)}}}
    events = run(job, tmp_path / "runs")
    assert last(events).outcome == "partial"
    assert {failed["task"] for failed in last(events).state["failed"]} == {
        f"v-mood-{mood}/00001/sample" for mood in ("calm", "wild")
    }


@pytest.mark.parametrize("name", ["shot.avi", "shot.mpg", "shot.h264"])
def test_a_source_that_stores_no_times_is_continued(name: str, tmp_path: Path) -> None:
    codec = "mpeg2video" if name.endswith("mpg") else "libx264"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=64x64:r=24", "-frames:v", "49")
    command = [find_ffmpeg().path, "-v", "error", *picture, "-c:v", codec, "-bf", "2", str(tmp_path / name)]
    subprocess.run(command, check=True)
    chunks = [{"extend": {"prompt": "on", "num_new_frames": 24}}]
    video = {"name": "v", "source": {"video": str(tmp_path / name)}, "chunks": chunks}
    events = run(spec(tmp_path / "out", videos=[video]), tmp_path / "runs")
    (film,) = [event for event in events if isinstance(event, FilmDelivered) and not event.preview]
    assert film.frames == 49 + 24


def test_an_unfinished_film_can_be_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.output.delivery.PREVIEW_INTERVAL_S", 0.0)
    monkeypatch.setattr("farm.output.delivery.PREVIEW_SHARE", 1.0)
    job = spec(tmp_path / "out", engine={"name": "fake", "fake": {"sample_s": 0.3}})
    shown: list[int] = []
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        if isinstance(event, FilmDelivered) and event.preview:
            shown.append(event.frames)
            assert len(list(packet_times(Path(event.path), Call("read the preview")))) >= event.frames
    assert len(shown) >= 2
    assert shown == sorted(set(shown))
    assert shown[-1] < 33 + 24 + 24 + 17
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["v.mp4"]


def test_a_preview_that_cannot_be_written_costs_nothing_but_itself(tmp_path: Path) -> None:
    events = []
    for event in render(spec(tmp_path / "out"), runs=str(tmp_path / "runs"), serial=True):
        events.append(event)
        if isinstance(event, JobPlanned):
            (tmp_path / "out" / "v.preview.mp4").mkdir()
    assert last(events).outcome == "done"
    assert any("no preview of v yet" in event.message for event in events if isinstance(event, Notice))


def test_two_renders_make_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.media.segment.run", process.run)  # Both encode.
    first, second = (
        films(spec(tmp_path / name), runs=str(tmp_path / f"runs-{name}"), serial=True) for name in ("a", "b")
    )
    assert [film.sha256 for film in first] == [film.sha256 for film in second]


def test_an_unchanged_spec_computes_nothing(tmp_path: Path) -> None:
    run(spec(tmp_path / "out"), tmp_path / "runs")
    film = tmp_path / "out" / "v.mp4"
    before = film.stat().st_mtime_ns
    events = run(spec(tmp_path / "out"), tmp_path / "runs")
    tasks = last(events).state["tasks"]
    assert committed(events) == set()
    assert tasks["reused"] == tasks["total"] == 20
    assert film.stat().st_mtime_ns == before, "a film that stands is left alone"


def test_a_missing_film_is_assembled_from_its_segments(tmp_path: Path) -> None:
    run(spec(tmp_path / "out"), tmp_path / "runs")
    film = tmp_path / "out" / "v.mp4"
    sha256 = sha256_of_file(film)
    film.unlink()
    assert committed(run(spec(tmp_path / "out"), tmp_path / "runs")) == set()
    assert sha256_of_file(film) == sha256


def test_no_job_replaces_the_film_of_another(tmp_path: Path) -> None:
    run(spec(tmp_path / "out"), tmp_path / "runs")
    before = sha256_of_file(tmp_path / "out" / "v.mp4")
    other = spec(tmp_path / "out", name="other")
    with pytest.raises(UsageError, match="job j delivered a film there"):
        run(other, tmp_path / "runs")
    assert sha256_of_file(tmp_path / "out" / "v.mp4") == before
    assert [store.job_id for store in Store.every(str(tmp_path / "runs"))] == ["j"]
    assert last(run(spec(tmp_path / "out"), tmp_path / "runs")).outcome == "done", "its own it may replace"
    assert last(run({**other, "output": {"dir": str(tmp_path / "b")}}, tmp_path / "runs")).outcome == "done"


def test_a_place_that_takes_no_films_is_named_before_anything_is_rendered(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match=r"cannot write films to /proc/nope: .*`output\.dir`"):
        run(spec(Path("/proc/nope")), tmp_path / "runs")
    assert list(Store.every(str(tmp_path / "runs"))) == []


def test_another_prompt_renders_its_chunk_and_what_depends_on_it(tmp_path: Path) -> None:
    job = spec(tmp_path / "out")
    run(job, tmp_path / "runs")
    job["videos"][0]["chunks"][2]["extend"]["prompt"] = "something else"
    done = committed(run(job, tmp_path / "runs"))
    made = {task for task in done if not task.startswith("encode/")}
    changed = {f"v/00002/{stage}" for stage in ("sample", "upscale", "decode", "segment")}
    # The segment before it is cross-faded with nothing new, but its evicted frames are read by the changed
    # segment.
    assert made == changed | {"v/00001/decode"}
    assert len(done - made) == 1


@pytest.mark.parametrize(("keep", "kept"), [("latents", 0), ("all", 4)])
def test_frames_stay_only_where_the_spec_keeps_them(tmp_path: Path, keep: str, kept: int) -> None:
    run(spec(tmp_path / "out", run={"keep": keep}), tmp_path / "runs")
    store = Store.find(str(tmp_path / "runs"), "j")
    provenances = [commit.provenance["task"] for commit in store.commits().values()]
    assert sum(task.endswith("/decode") for task in provenances) == kept
    assert sum(task.endswith(("/sample", "/upscale", "/segment")) for task in provenances) == 12


def test_frames_take_what_the_plan_says_at_their_peak(tmp_path: Path) -> None:
    job = spec(tmp_path / "out")
    most_bytes = 0
    for event in render(job, runs=str(tmp_path / "runs"), serial=True):
        if isinstance(event, TaskCommitted):
            commits = Store.find(str(tmp_path / "runs"), "j").commits().values()
            frames = [commit.size for commit in commits if commit.provenance["task"].endswith("/decode")]
            most_bytes = max(most_bytes, sum(frames))
    planned = plan_job(load(job, RenderOptions()), PlanRequest(str(tmp_path / "other"))).disk
    assert 0.9 * planned.frames_bytes <= most_bytes <= 1.01 * planned.frames_bytes
    assert planned.peak_bytes > planned.frames_bytes


def test_until_stops_early_and_a_later_render_goes_on(tmp_path: Path) -> None:
    events = run(spec(tmp_path / "out"), tmp_path / "runs", until=Stage.SAMPLE)
    assert last(events).outcome == "stopped_early"
    assert {task.rpartition("/")[2] for task in committed(events) if "/000" in task} == {"sample"}
    again = run(spec(tmp_path / "out"), tmp_path / "runs")
    assert last(again).outcome == "done"
    assert not [task for task in committed(again) if task.endswith("sample")]


def test_the_log_tells_what_was_yielded(tmp_path: Path) -> None:
    events = run(spec(tmp_path / "out"), tmp_path / "runs")
    (log,) = (tmp_path / "runs" / "j" / "events").glob("*.jsonl")
    assert [json.loads(line)["event"] for line in log.read_text().splitlines()] == [
        event.name for event in events
    ]
    assert isinstance(next(event for event in events if event.name == "job_planned"), JobPlanned)
