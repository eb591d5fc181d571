"""Films of which parts are made anew: the same bytes everywhere, and all frames around them untouched."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from actors.media.audio import Listen, read_audio
from actors.media.frames import Cut, read_video
from actors.media.probe import probe_video
from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash
from farm.events import TaskCommitted, TaskStarted, WorkerGone
from jobs.frames import Span, audio_sample
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes
from jobs.planning.plan import make_plan
from jobs.tasks.task import Stage
from tests.actors.steps.test_retakes import made_clip
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, Rendered, render_alone

if TYPE_CHECKING:
    from jobs.loading.load import LoadedSpec

RATE, SAMPLES_S = 24.0, 48_000
PARTS = [
    {"start": "1s", "stop": 40, "prompt": "a red boat"},
    {"start": 70, "stop": "3.4s", "prompt": "a blue boat", "sound": False},
    {"start": 110, "stop": 115, "prompt": "a bell", "picture": False},
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "clip.mkv"
    made_clip(path, frames=140)
    return path


def film(home: Path, source: Path, **job: Any) -> LoadedSpec:
    """Of 137 frames."""
    data = {
        "version": 3,
        "name": JOB,
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 32, "frame_rate": RATE, "steps": 2, "num_frames": 65},
        "videos": [
            {
                "name": "mended",
                "source": {"video": str(source)},
                "retakes": PARTS,
                "sound": [{"generate": True}],
            }
        ],
        "output": {"dir": str(home / "out"), "container": "mkv", "codec": "ffv1", "sound": "pcm"},
        **job,
    }
    return load_spec(data, probes=Probes(video=probe_video))


def test_all_but_what_is_made_anew_is_the_source(tmp_path: Path, source: Path) -> None:
    loaded = film(tmp_path, source)
    assert render_alone(tmp_path / "runs", loaded).outcome == "done"
    made = str(tmp_path / "out" / "mended.mkv")
    whole = Cut(64, 32, RATE, 137)
    seen = (read_video(made, whole) != read_video(str(source), whole)).any(axis=(1, 2, 3))
    heard = _changed_frames(made, str(source), 137)
    plan = make_plan(loaded.spec, loaded.facts).videos[0]
    first, second, third = (chunk.owned for chunk in plan.chunks if chunk.retake)
    assert np.flatnonzero(seen).tolist() == [*_numbers(first), *_numbers(second)]
    assert np.flatnonzero(heard).tolist() == [*_numbers(first), *_numbers(third)]


def _numbers(frames: Span) -> range:
    return range(frames.start, frames.stop)


def _changed_frames(made: str, source: str, frames: int) -> list[bool]:
    """While which frames something else is heard, beyond what 24 bits round."""
    listen = Listen(0, audio_sample(frames, SAMPLES_S, RATE), SAMPLES_S)
    differs = np.abs(read_audio(made, listen) - read_audio(source, listen)).max(axis=0) > 1e-6
    edges = [audio_sample(frame, SAMPLES_S, RATE) for frame in range(frames + 1)]
    return [bool(differs[at:to].any()) for at, to in pairwise(edges)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Rendered:
    """By one process."""
    home = tmp_path_factory.mktemp("alone")
    return render_alone(home / "runs", film(home, source))


@pytest.mark.parametrize("topology", ["mono=1", "mono=3", "sample=2,decode=1,segment=1"])
def test_films_are_those_of_one_process(tmp_path: Path, source: Path, alone: Rendered, topology: str) -> None:
    rendered = render(tmp_path / "runs", film(tmp_path, source), topology)
    assert (alone.outcome, rendered.outcome) == ("done", "done")
    assert rendered.films == alone.films != {}


def test_a_film_whose_workers_were_killed_is_the_same(tmp_path: Path, source: Path, alone: Rendered) -> None:
    hit = ["mended/00001/sample", "mended/00003.source/decode", "mended/00004/decode"]
    cluster = LocalCluster(fates=Dooms(*(Doom(task, Crash(0.5)) for task in hit)))
    rendered = render(tmp_path / "runs", film(tmp_path, source), "mono=2", cluster)
    assert {lost.task for event in rendered.of(WorkerGone) for lost in event.lost} >= set(hit)
    assert rendered.films == alone.films != {}


def test_a_film_that_is_resumed_is_the_same_and_takes_up_what_there_is(
    tmp_path: Path, source: Path, alone: Rendered
) -> None:
    loaded = film(tmp_path, source)
    half = render(tmp_path / "runs", loaded, "mono=2", until=Stage.SAMPLE)
    rest = render(tmp_path / "runs", loaded, "mono=2")
    sampled = {event.task for event in half.of(TaskCommitted)}
    assert len([task for task in sampled if task.endswith("/sample")]) == 3
    assert not sampled & {event.task for event in rest.of(TaskStarted)}
    assert rest.films == alone.films != {}
