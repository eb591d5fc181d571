"""Several forms of one film: the same frames in all of them, from one sampling, the sound exact in each."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.media.process import Call, compile_command, exchange
from farm.api import films, render
from farm.cli.main import run
from farm.events import JobFinished, TaskCommitted
from farm.state.progress import split_task
from farm.verbs.verify import verify_job
from jobs.errors import UsageError
from jobs.parsing.yaml_events import yaml_text

FRAMES, SIDE, RATE = 33, 64, 24000 / 1001
SAMPLES = 66066
"""33 frames of 1001 / 24000 s at 48 kHz."""
DELIVERIES: list[dict[str, Any]] = [
    {},
    {"codec": "hevc", "pixel_format": "yuv420p10le", "name": "{video}-hevc"},
    {"container": "mov", "codec": "prores", "profile": "proxy", "name": "{video}-proxy"},
    {"container": "mov", "codec": "prores", "profile": "lt", "name": "{video}-lt"},
    {"container": "mov", "codec": "prores", "profile": 422, "name": "{video}-422"},
    {"container": "mov", "codec": "prores", "sound": "pcm"},
    {"container": "mov", "codec": "prores", "profile": 4444, "sound": "pcm", "name": "{video}-4444"},
    {"container": "mkv", "codec": "ffv1"},
    {"container": "mkv", "codec": "ffv1", "sound": "pcm", "name": "{video}-pcm"},
    {"container": "png-sequence"},
]
LOSSLESS = ("dawn.mkv", "dawn-pcm.mkv", "dawn")
LEAST_DB = {"dawn-proxy.mov": 25.0, "dawn-lt.mov": 28.0}


def spec(folder: Path, deliveries: list[dict[str, Any]], **output: Any) -> dict[str, Any]:
    first = {"generate": {"prompt": "a", "num_frames": 17}}
    chunks = [first, {"extend": {"prompt": "b", "num_new_frames": 16}}]
    return {
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": SIDE, "height": SIDE, "steps": 1, "frame_rate": 23.976},
        "videos": [{"name": "dawn", "chunks": chunks, "sound": [{"file": str(folder / "score.wav")}]}],
        "output": {"dir": str(folder / "out"), "preset": "veryfast", "deliveries": deliveries, **output},
    }


def write_score(path: Path) -> np.ndarray:
    """A minute of 16-bit noise, int16 `[samples, 2]`."""
    samples = np.random.default_rng(3).integers(-(2**14), 2**14, (60 * 48000, 2), dtype=np.int16)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(48000)
        file.writeframes(samples.tobytes())
    return samples


def pictures(film: Path) -> np.ndarray:
    """Every frame as a player shows it, uint8 `[F, 64, 64, 3]`."""
    import ffmpeg

    source = film / "%08d.png" if film.is_dir() else film
    options = {"start_number": 0} if film.is_dir() else {}
    stream = ffmpeg.output(
        ffmpeg.input(str(source), **options)["v:0"], "pipe:", f="rawvideo", pix_fmt="rgb24"
    )
    raw, _ = exchange(compile_command(stream), Call("show the film", reads=film))
    return np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)


def heard(film: Path) -> np.ndarray:
    """Every sample, int32 `[samples, 2]`."""
    import ffmpeg

    stream = ffmpeg.output(ffmpeg.input(str(film))["a:0"], "pipe:", **{"f": "s32le", "c:a": "pcm_s32le"})
    raw, _ = exchange(compile_command(stream), Call("hear the film", reads=film))
    return np.frombuffer(raw, "<i4").reshape(-1, 2)


def psnr_db(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((one.astype(np.float64) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def stages(events: list[Any]) -> dict[str, int]:
    """How many tasks of each stage were computed."""
    done = [split_task(event.task)[2] for event in events if isinstance(event, TaskCommitted)]
    return {stage: done.count(stage) for stage in dict.fromkeys(done)}


def stamp(film: Path) -> tuple[int, int]:
    return film.stat().st_ino, film.stat().st_mtime_ns


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray, list[Any]]:
    folder = tmp_path_factory.mktemp("deliveries")
    score = write_score(folder / "score.wav")
    return folder, score, list(render(spec(folder, DELIVERIES), runs=str(folder / "runs"), serial=True))


def test_all_deliveries_have_the_same_frames(delivered: tuple[Path, np.ndarray, list[Any]]) -> None:
    folder, _, events = delivered
    last = events[-1]
    assert isinstance(last, JobFinished)
    names = [Path(film["path"]).name for film in last.state["videos"]]
    assert len(set(names)) == last.state["films"] == len(DELIVERIES)
    assert stages(events) == {"encode": 2, "sample": 2, "decode": 2, "segment": 2 * (len(DELIVERIES) - 1)}
    shown = {name: pictures(folder / "out" / name) for name in names}
    exact = shown["dawn"]
    assert {frames.shape for frames in shown.values()} == {(FRAMES, SIDE, SIDE, 3)}
    assert all(np.array_equal(shown[name], exact) for name in LOSSLESS)
    measured = {name: psnr_db(frames, exact) for name, frames in shown.items() if name not in LOSSLESS}
    assert {name: db for name, db in measured.items() if db < LEAST_DB.get(name, 30.0)} == {}


@pytest.mark.parametrize(
    "name", ["dawn.mov", "dawn-4444.mov", "dawn.mkv", "dawn-pcm.mkv", "dawn.wav", "dawn.mp4", "dawn-lt.mov"]
)
def test_sound_is_exact_to_the_sample_in_each(
    name: str, delivered: tuple[Path, np.ndarray, list[Any]]
) -> None:
    folder, score, _ = delivered
    found = heard(folder / "out" / name)
    if name in ("dawn.mp4", "dawn-lt.mov"):
        assert abs(len(found) - SAMPLES) < 1024
        likeness = [
            np.corrcoef(found[20000:30000, 0], score[20000 + lag : 30000 + lag, 0])[0, 1]
            for lag in range(-3, 4)
        ]
        assert int(np.argmax(likeness)) == 3
        return
    assert len(found) == SAMPLES
    assert np.array_equal(found, score[:SAMPLES].astype(np.int32) << 16)


def test_a_delivery_that_is_added_later_samples_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_score(tmp_path / "score.wav")
    runs = str(tmp_path / "runs")
    first = list(render(spec(tmp_path, []), runs=runs, serial=True))
    assert stages(first)["sample"] == 2
    before = stamp(tmp_path / "out" / "dawn.mp4")
    added = spec(tmp_path, [{}, {"container": "png-sequence"}, {"container": "mov"}])
    (tmp_path / "film.yaml").write_text(yaml_text(added))
    assert run(["plan", str(tmp_path / "film.yaml"), "--runs", runs]) == 0
    planned = capsys.readouterr().out
    assert [line.split()[:3] for line in planned.splitlines() if line.startswith(("sample ", "decode "))] == [
        ["sample", "2", "0"],
        ["decode", "2", "2"],
    ]
    assert "nothing is sampled" in planned
    second = list(render(added, runs=runs, serial=True))
    assert stages(second) == {"decode": 2, "segment": 2}
    assert stamp(tmp_path / "out" / "dawn.mp4") == before
    assert verify_job(runs, "harbor").films == 4
    (tmp_path / "out" / "dawn.wav").unlink()
    assert [damage.place for damage in verify_job(runs, "harbor").damage] == [
        str(tmp_path / "out" / "dawn.wav")
    ]
    third = films(added, runs=runs, serial=True)
    assert [Path(film.path).name for film in third] == ["dawn.mp4", "dawn", "dawn.mov"]
    assert verify_job(runs, "harbor").ok


def test_generated_sound_is_the_same_in_each(tmp_path: Path) -> None:
    deliveries = [
        {"container": "png-sequence"},
        {"container": "mov", "sound": "pcm"},
        {"container": "mkv", "codec": "ffv1"},
        {"container": "mkv", "sound": "pcm", "name": "{video}-pcm"},
    ]
    data = spec(tmp_path, deliveries)
    data["videos"][0]["sound"] = [{"generate": True}]
    films(data, runs=str(tmp_path / "runs"), serial=True)
    exact = heard(tmp_path / "out" / "dawn.wav")
    assert exact.shape == (SAMPLES, 2)
    assert exact.any()
    for name in ("dawn.mov", "dawn.mkv", "dawn-pcm.mkv"):
        assert np.array_equal(heard(tmp_path / "out" / name), exact), name


def test_what_is_said_of_their_sound_is_said_once(tmp_path: Path) -> None:
    data = spec(tmp_path, [{}, {"container": "mov", "sound": "pcm"}])
    data["videos"][0] |= {"sound": [{"generate": True}], "mix": {"loudness": -20}}
    events = list(render(data, runs=str(tmp_path / "runs"), serial=True))
    assert len([event for event in events if "LUFS" in getattr(event, "message", "")]) == 1


def test_a_draft_is_one_film_of_the_first_form(tmp_path: Path) -> None:
    """As it was rendered, without a timeline; the film's deliveries take its place."""
    runs, out = str(tmp_path / "runs"), tmp_path / "out"
    data = spec(tmp_path, [{}, {"container": "mkv"}], size="120x100", timeline="otio")
    data |= {"upscale": {}, "run": {"approve": "sample"}}
    del data["videos"][0]["sound"]
    *_, last = render(data, runs=runs, serial=True)
    assert isinstance(last, JobFinished)
    assert [film["path"] for film in last.state["videos"]] == [str(out / "dawn.draft.mp4")]
    assert [path.name for path in out.iterdir()] == ["dawn.draft.mp4"]
    assert run(["approve", "harbor", "--all", "--runs", runs]) == 0
    films(data, runs=runs, serial=True)
    assert sorted(path.name for path in out.iterdir()) == ["dawn.mkv", "dawn.mp4", "dawn.otio"]


def test_what_stands_at_the_name_of_any_delivery_is_refused_first(tmp_path: Path) -> None:
    write_score(tmp_path / "score.wav")
    (tmp_path / "out").mkdir()
    for name in ("dawn.mov", "dawn.wav"):
        (tmp_path / "out" / name).write_bytes(b"a holiday")
    data = spec(tmp_path, [{}, {"container": "mov"}, {"container": "png-sequence"}])
    with pytest.raises(UsageError) as error:
        next(render(data, runs=str(tmp_path / "runs"), serial=True))
    assert sorted(Path(each.value.removesuffix(" exists")).name for each in error.value.problems) == [
        "dawn.mov",
        "dawn.wav",
    ]


def test_deliveries_go_to_a_bucket(tmp_path: Path, s3_url: str) -> None:
    write_score(tmp_path / "score.wav")
    deliveries = [{}, {"container": "mov", "codec": "prores"}]
    data = spec(tmp_path, deliveries, dir=f"{s3_url}/deliveries")
    runs = str(tmp_path / "runs")
    found = films(data, runs=runs, serial=True)
    assert [film.path for film in found] == [
        f"{s3_url}/deliveries/dawn.mp4",
        f"{s3_url}/deliveries/dawn.mov",
    ]
    assert verify_job(runs, "harbor").ok
