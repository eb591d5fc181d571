"""Films with temporal rounds: their frames, their rate, their sound, and that nothing that befalls a render
shows."""

from __future__ import annotations

import json
import wave
from fractions import Fraction
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
from farm.events import FilmDelivered, TaskCommitted, TaskStarted, WorkerGone
from farm.session.retrying import Rendered as RenderedJob
from farm.session.retrying import find_retry
from farm.state.fingerprint import DIGESTS_FORM
from farm.verbs.approve import approve
from jobs.frames import audio_sample
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes
from jobs.store.store import Store
from jobs.tasks.retry import Selection
from jobs.tasks.task import Stage
from tests.farm.execution.local_render import render
from tests.ray.kit.specs import JOB, Rendered, render_alone

if TYPE_CHECKING:
    from jobs.loading.load import LoadedSpec

RATE, SAMPLES_S = 24.0, 48_000
SHOTS = (41 + 24 + 8, 25)
"""Frames of the passes."""
FRAMES = sum(4 * (frames - 1) + 1 for frames in SHOTS)


def film(home: Path, **job: Any) -> LoadedSpec:
    """Two shots, one of them of three chunks that go on from one another; the last has one segment."""
    extends = [{"extend": {"prompt": f"later {frames}", "num_new_frames": frames}} for frames in (24, 8)]
    data = {
        "version": 3,
        "name": JOB,
        "engine": {"name": "fake"},
        "defaults": {
            "width": 64, "height": 32, "frame_rate": RATE, "steps": 2, "num_frames": 41, "overlap_frames": 16
        },
        "upscale": {"temporal": 4},
        "videos": [
            {
                "name": "dawn",
                "chunks": [
                    {"generate": {"prompt": "noon", "shot": "pier"}},
                    *extends,
                    {"generate": {"prompt": "night", "num_frames": 25, "shot": "mole"}},
                ],
                "sound": [{"generate": True}],
            }
        ],
        "output": {"dir": str(home / "out"), "container": "mkv", "codec": "ffv1", "sound": "pcm"},
        **job,
    }  # fmt: skip
    return load_spec(data, probes=Probes(video=probe_video))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def alone(home: Path) -> Rendered:
    """By one process."""
    return render_alone(home / "runs", film(home))


@pytest.fixture(scope="module")
def made(alone: Rendered, home: Path) -> str:
    """The film."""
    assert alone.outcome == "done"
    return str(home / "out" / "dawn.mkv")


def samples_of(path: str) -> np.ndarray:
    return read_audio(path, Listen(0, 10 * SAMPLES_S, SAMPLES_S))


def test_the_film_has_the_frames_that_the_spec_implies(made: str) -> None:
    found = probe_video(made)
    assert (found.frames, found.frame_rate) == (FRAMES, 4 * RATE)
    assert len(read_video(made, Cut(128, 64, 4 * RATE, FRAMES))) == FRAMES


def test_every_frame_is_heard(made: str) -> None:
    """The model's sound is there from the first frame to the last one, and ends with it."""
    heard = np.abs(samples_of(made)).max(axis=0)
    stop = audio_sample(FRAMES, SAMPLES_S, 4 * RATE)
    assert stop == round(Fraction(FRAMES, 96) * SAMPLES_S)
    assert not heard[stop:].any()
    edges = [audio_sample(frame, SAMPLES_S, 4 * RATE) for frame in range(FRAMES + 1)]
    assert all(heard[at:to].any() for at, to in pairwise(edges))


def test_a_file_is_heard_at_its_time(tmp_path: Path) -> None:
    noise = np.random.default_rng(3).integers(-9000, 9000, (5 * SAMPLES_S, 2)).astype("<i2")
    with wave.open(str(tmp_path / "score.wav"), "wb") as file:
        file.setparams((2, 2, SAMPLES_S, 0, "NONE", ""))
        file.writeframes(noise.tobytes())
    loaded = film(tmp_path, run={"approve": "sample"})
    score = {"sound": [{"file": str(tmp_path / "score.wav"), "mode": "condition"}]}
    data = json.loads(loaded.spec.model_dump_json(exclude_unset=True))
    data["videos"][0] |= score
    spec = load_spec(data, probes=Probes(video=probe_video))
    assert render_alone(tmp_path / "runs", spec).outcome == "unapproved"
    made = samples_of(str(tmp_path / "out" / "dawn.draft.mkv"))
    cut, stop = (audio_sample(frames, SAMPLES_S, RATE) for frames in (SHOTS[0], sum(SHOTS)))
    # The second shot is 3/4 of a base frame later in a draft, as the first one's last frame is shown longer.
    later = round(SAMPLES_S * 0.75 / RATE)
    heard = np.concatenate([noise[:cut], noise[cut - later : stop - later]]).T / 32768
    assert np.abs(made[:, :stop] - heard).max() < 1e-6
    approve(str(tmp_path / "runs"), JOB, Selection())
    assert render_alone(tmp_path / "runs", spec).outcome == "done"
    made = samples_of(str(tmp_path / "out" / "dawn.mkv"))
    stop = audio_sample(FRAMES, SAMPLES_S, 4 * RATE)
    assert np.abs(made[:, :stop] - noise.T[:, :stop] / 32768).max() < 1e-6


@pytest.mark.parametrize("topology", ["mono=1", "mono=3", "sample=2,upscale=2,decode=1,segment=1"])
def test_films_are_those_of_one_process(tmp_path: Path, alone: Rendered, topology: str) -> None:
    rendered = render(tmp_path / "runs", film(tmp_path), topology)
    assert rendered.films == alone.films != {}


def test_a_film_whose_workers_were_killed_is_the_same(tmp_path: Path, alone: Rendered) -> None:
    hit = ["dawn/00001.r1/upscale", "dawn/00000.r2-t1/upscale", "dawn/00003.r1-t0/upscale"]
    cluster = LocalCluster(fates=Dooms(*(Doom(task, Crash(0.5)) for task in hit)))
    rendered = render(tmp_path / "runs", film(tmp_path), "mono=2", cluster)
    assert {lost.task for event in rendered.of(WorkerGone) for lost in event.lost} >= set(hit)
    assert rendered.films == alone.films != {}


def test_a_film_that_is_resumed_is_the_same_and_takes_up_what_there_is(
    tmp_path: Path, alone: Rendered
) -> None:
    loaded = film(tmp_path)
    half = render(tmp_path / "runs", loaded, "mono=2", until=Stage.UPSCALE)
    rest = render(tmp_path / "runs", loaded, "mono=2")
    made = {event.task for event in half.of(TaskCommitted)}
    assert {"dawn/00000.r1/upscale", "dawn/00000.r2-t3/upscale"} <= made
    assert not made & {event.task for event in rest.of(TaskStarted)}
    assert rest.films == alone.films != {}


def test_canvases_go_once_their_tiles_are_there(alone: Rendered, home: Path) -> None:
    """As decoded frames do; tiles and everything else stay."""
    store = Store.find(str(home / "runs"), JOB)
    frozen = store.recall(DIGESTS_FORM)
    assert alone.outcome == "done"
    assert frozen is not None
    there = {task for task, digest in frozen.digests.items() if store.commit(digest)}
    gone = {task for task in frozen.digests if task.endswith((".r1/upscale", ".r2/upscale", "/decode"))}
    assert len(gone) == 2 * 4 + 4 * 4
    assert frozen.digests.keys() - there == gone


def test_a_tile_that_is_damaged_is_made_again_and_first_its_canvas(tmp_path: Path, alone: Rendered) -> None:
    loaded, task = film(tmp_path), "dawn/00000.r2-t1/upscale"
    assert render_alone(tmp_path / "runs", loaded).films == alone.films
    store = Store.find(str(tmp_path / "runs"), JOB)
    frozen = store.recall(DIGESTS_FORM)
    assert frozen is not None
    commit = store.commit(frozen.digests[task])
    assert commit is not None
    (tmp_path / "runs" / JOB / commit.file).write_bytes(b"nothing")
    again = render_alone(tmp_path / "runs", loaded)
    assert [event.task for event in again.of(TaskStarted)] == [
        "dawn/00000.r1/upscale", "dawn/00000.r2/upscale", task
    ]  # fmt: skip
    assert again.films == alone.films != {}
    found = find_retry(store, rendered(store), Selection(frozenset({"dawn"}), frozenset({3})))
    assert {"dawn/00003.w0/decode", "dawn/00003.w3/decode", "dawn/00003.r1/upscale"} <= set(found.closure)


def rendered(store: Store) -> RenderedJob:
    found = RenderedJob.of(store)
    assert found is not None
    return found


@pytest.mark.parametrize("hit", ["dawn/00001.w2/decode", "dawn/00000.w0/decode", "dawn/00003/segment"])
def test_a_worker_is_lost_between_two_windows(tmp_path: Path, alone: Rendered, hit: str) -> None:
    cluster = LocalCluster(fates=Dooms(Doom(hit, Crash(0.5))))
    made = render(tmp_path / "runs", film(tmp_path), "mono=2", cluster)
    assert hit in {lost.task for event in made.of(WorkerGone) for lost in event.lost}
    assert made.films == alone.films != {}


def test_a_draft_has_the_rate_of_the_passes_and_its_film_is_the_same(tmp_path: Path, alone: Rendered) -> None:
    loaded = film(tmp_path, run={"approve": "sample"})
    rendered = render_alone(tmp_path / "runs", loaded)
    assert rendered.outcome == "unapproved"
    drafts = [event.path for event in rendered.of(FilmDelivered) if event.path.endswith(".draft.mkv")]
    found = probe_video(drafts[0])
    assert (found.frames, found.frame_rate) == (sum(SHOTS), RATE)
    stop = audio_sample(sum(SHOTS), SAMPLES_S, RATE)
    heard = np.abs(samples_of(drafts[0])).max(axis=0)
    assert heard[:stop].reshape(-1, 8).any(axis=1).mean() > 0.99
    assert not heard[stop:].any()
    approve(str(tmp_path / "runs"), JOB, Selection())
    approved = render_alone(tmp_path / "runs", loaded)
    assert not [event.task for event in approved.of(TaskStarted) if event.task.endswith("/sample")]
    assert approved.films == alone.films != {}
