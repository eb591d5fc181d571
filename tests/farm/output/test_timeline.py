"""The cut for editors: OpenTimelineIO's own library, and ffmpeg, read every shot at the frame where it is."""

from __future__ import annotations

import json
import re
import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from actors.media.ffmpeg import find_ffmpeg
from farm.api import films, render
from farm.events import TaskCommitted
from farm.verbs.verify import verify_job
from jobs.frames import exact_rate
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec

otio = pytest.importorskip("opentimelineio")

CUTS = [("pier", 0, 41), ("boat", 41, 58), ("shot 3", 58, 67)]
"""Name, first frame and the frame after the last of each shot below."""


def spec(out: Path, rate: float, deliveries: list[dict[str, Any]], **output: Any) -> dict[str, Any]:
    shots = [
        {"generate": {"prompt": "a pier", "num_frames": 17, "shot": "pier"}},
        {"extend": {"prompt": "a pier", "num_new_frames": 8}},
        {"extend": {"prompt": "the fog lifts", "num_new_frames": 16}},
        {"generate": {"prompt": "a boat", "num_frames": 17, "shot": "boat", "seed": 2**63 - 1}},
        {"generate": {"prompt": "the sea", "num_frames": 9}},
    ]
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1, "frame_rate": rate},
        "videos": [{"name": "dawn", "chunks": shots}],
        "output": {"dir": str(out), "preset": "ultrafast", "deliveries": deliveries, **output},
    }


@pytest.mark.parametrize("rate", [23.976, 24.0, 29.97, 59.94])
def test_the_library_reads_every_cut_at_its_frame(rate: float, tmp_path: Path) -> None:
    deliveries = [{}, {"container": "mkv", "codec": "ffv1"}, {"container": "png-sequence"}]
    data = spec(tmp_path, rate, deliveries, timeline="otio")
    films(data, runs=str(tmp_path / "runs"), serial=True)
    plan = make_plan(JobSpec.model_validate(data))
    read = otio.adapters.read_from_file(str(tmp_path / "dawn.otio"))
    exact = exact_rate(rate)
    assert read.metadata["ltx_farm"]["rate"] == f"{exact.numerator}/{exact.denominator}"
    (track,) = read.tracks
    for clip, (name, start, stop) in zip(track, CUTS, strict=True):
        assert clip.name == name
        place = clip.trimmed_range_in_parent()
        assert place.start_time.rate == float(exact)
        assert (place.start_time.value, place.end_time_exclusive().value) == (start, stop)
        assert clip.source_range == place
        assert clip.media_reference.target_url == "dawn.mp4"
        references = clip.media_references()
        assert set(references) == {"dawn.mp4", "dawn.mkv", "dawn"}
        assert references["dawn"].target_url_for_image_number(start) == f"dawn/{start:08d}.png"
        assert references["dawn"].available_range.duration.value == 67
        assert (tmp_path / references["dawn"].target_url_for_image_number(start)).exists()
    chunks = [marker for clip in track for marker in clip.markers if marker.name.startswith("chunk")]
    owned = [(chunk.owned.start, len(chunk.owned)) for chunk in plan.videos[0].chunks]
    assert [(m.marked_range.start_time.value, m.marked_range.duration.value) for m in chunks] == owned
    assert [m.metadata["ltx_farm"]["seed"] for m in chunks] == [str(c.seed) for c in plan.videos[0].chunks]
    assert chunks[3].metadata["ltx_farm"]["seed"] == str(2**63 - 1)
    (beat,) = [marker for clip in track for marker in clip.markers if marker.name == "beat"]
    assert beat.marked_range.start_time.value == plan.videos[0].chunks[2].owned.start
    assert beat.metadata["ltx_farm"]["prompt"] == "the fog lifts"
    again = otio.adapters.write_to_string(read, "otio_json")
    assert otio.adapters.read_from_string(again, "otio_json").is_equivalent_to(read)


def test_shots_and_sound_have_their_tracks(tmp_path: Path) -> None:
    from farm.output.timeline import timeline

    data = spec(tmp_path, 24.0, [])
    data["videos"][0] = {
        "name": "dawn",
        "shots": [
            {"name": "pier", "seconds": 2, "prompt": "a pier", "beats": [{"at": 1, "prompt": "fog"}]},
            {"name": "boat", "seconds": 1, "prompt": "a boat"},
        ],
        "sound": [{"file": "score.wav"}],
    }
    plan = make_plan(JobSpec.model_validate(data))
    read = otio.adapters.read_from_string(timeline(plan, plan.videos[0]).decode(), "otio_json")
    pictures, sound = read.tracks
    assert (pictures.kind, sound.kind) == ("Video", "Audio")
    assert [clip.name for clip in pictures] == ["pier", "boat"]
    assert pictures.duration() == sound.duration() == otio.opentime.RationalTime(plan.videos[0].frames, 24)
    beats = [marker for clip in pictures for marker in clip.markers if marker.name == "beat"]
    assert [beat.metadata["ltx_farm"]["prompt"] for beat in beats] == ["fog"]


def test_a_source_is_a_shot_of_that_name(tmp_path: Path) -> None:
    from farm.output.timeline import film_shots

    data = spec(tmp_path, 24.0, [])
    data["videos"][0]["source"] = {"video": "clip.mp4"}
    facts = SourceFacts(videos={"clip.mp4": VideoFact(25, 64, 64, 24.0)})
    shots = list(film_shots(make_plan(JobSpec.model_validate(data), facts).videos[0]))
    assert [shot.name for shot in shots] == ["source", "pier", "boat", "shot 4"]
    assert (shots[0].frames.start, shots[0].frames.stop, shots[1].frames.start) == (0, 25, 25)


def test_the_timeline_follows_the_film(tmp_path: Path) -> None:
    """A delivery that is added is in it; nothing is rendered for a timeline that is lost."""
    runs, path = str(tmp_path / "runs"), tmp_path / "dawn.otio"
    films(spec(tmp_path, 24.0, [{}], timeline="otio"), runs=runs, serial=True)
    film = (tmp_path / "dawn.mp4").stat().st_mtime_ns
    data = spec(tmp_path, 24.0, [{}, {"container": "mov"}], timeline="otio")
    events = list(render(data, runs=runs, serial=True))
    assert not [event for event in events if isinstance(event, TaskCommitted)]
    first = json.loads(path.read_text())["tracks"]["children"][0]["children"][0]
    assert set(first["media_references"]) == {"dawn.mp4", "dawn.mov"}
    assert (tmp_path / "dawn.mp4").stat().st_mtime_ns == film
    path.unlink()
    assert [damage.place for damage in verify_job(runs, "harbor").damage] == [str(path)]
    films(data, runs=runs, serial=True)
    assert verify_job(runs, "harbor").ok


def test_shots_are_chapters_at_their_frames(tmp_path: Path) -> None:
    deliveries = [{}, {"container": "mov"}, {"container": "mkv"}]
    data = spec(tmp_path, 23.976, deliveries, chapters=True)
    rate = Fraction(24000, 1001)
    for film in films(data, runs=str(tmp_path / "runs"), serial=True):
        command = [find_ffmpeg().path, "-v", "error", "-i", film.path, "-f", "ffmetadata", "-"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        found = re.findall(r"\[CHAPTER\]\nTIMEBASE=1/(\d+)\nSTART=(\d+)\nEND=(\d+)\ntitle=(.*)", said)
        read = [
            (title, *(Fraction(int(ticks), int(base)) * rate for ticks in (start, end)))
            for base, start, end, title in found
        ]
        assert [title for title, *_ in read] == [title for title, *_ in CUTS], film.path
        for (_, start, end), (_, first, stop) in zip(read, CUTS, strict=True):
            assert abs(start - first) < Fraction(1, 20), film.path
            assert abs(end - stop) < Fraction(1, 20), film.path
