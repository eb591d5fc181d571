"""Tracks of a spec in the plan: shots, places, and what reaches the sampling."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from jobs.frames import Span
from jobs.planning.explicit import explicit_data
from jobs.planning.plan import make_plan
from jobs.sound.planned import track_names
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.graph import build_graph

SHOTS = [
    {"name": "pier", "seconds": 1.0, "prompt": "a"},
    {"name": "boat", "seconds": 2.0, "prompt": "b", "seed": 5},
    {"name": "gulls", "seconds": 1.0, "prompt": "c"},
]
"""25, 49 and 25 frames at 25 a second."""
PIER, BOAT, GULLS = Span(0, 25), Span(25, 74), Span(74, 99)
GENERATED: dict[str, Any] = {"generate": True}
MUSIC: dict[str, Any] = {"file": "music.wav"}


def job(*sound: dict[str, Any], **video: Any) -> JobSpec:
    film = {"name": "film", "shots": SHOTS, "sound": list(sound), **video}
    document = {
        "name": "x",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "frame_rate": 25.0, "num_frames": 17, "num_new_frames": 16},
        "videos": [film],
    }
    return JobSpec.model_validate(copy.deepcopy(document))


def places(*sound: dict[str, Any]) -> list[Span]:
    """Samples at 1000 a second, 40 a frame, of the 3960 of the film."""
    (video,) = make_plan(job(*sound)).videos
    assert video.sound is not None
    return [track.place(1000, 25.0, video.frames) for track in video.sound.tracks]


def sampled(*sound: dict[str, Any]) -> dict[str, str]:
    """Digests of all tasks."""
    graph = build_graph(make_plan(job(*sound)))
    return digests(graph, Fingerprint({}, {}, {path: path for path in input_files(graph)}))


@pytest.mark.parametrize(
    ("track", "place"),
    [
        (MUSIC, Span(0, 3960)),
        ({**MUSIC, "at": 1.5}, Span(1500, 3960)),
        ({**MUSIC, "at": -1.5}, Span(0, 3960)),
        ({**MUSIC, "at": -1.5, "seconds": 2.0}, Span(0, 500)),
        ({**MUSIC, "at": 9.0}, Span(3960, 3960)),
        ({**MUSIC, "shot": "boat"}, Span(1000, 2960)),
        ({**MUSIC, "shot": "boat", "at": 0.5}, Span(1500, 2960)),
        ({**MUSIC, "shot": "boat", "at": -0.5}, Span(500, 2960)),
        ({**MUSIC, "shot": "boat", "at": 0.5, "seconds": 2.2}, Span(1500, 3700)),
        ({**MUSIC, "shot": "boat", "at": 2.5}, Span(3500, 3500)),
        ({**MUSIC, "shot": "gulls", "seconds": 9.0}, Span(2960, 3960)),
        ({**GENERATED, "shot": "boat"}, Span(1000, 2960)),
        (GENERATED, Span(0, 3960)),
    ],
)
def test_a_track_has_its_place(track: dict[str, Any], place: Span) -> None:
    assert places(track) == [place]


def test_where_and_how_loud_a_track_is_reaches_no_task() -> None:
    music = {**MUSIC, "gain_db": -9.0}
    before = sampled(GENERATED, music)
    for change in (
        {"at": 0.5},
        {"gain_db": -3.0, "pan": 0.5},
        {"fade_in": 1.0, "fade_out": 2.0, "fade_curve": "equal-power"},
        {"duck": True},
        {"shot": "boat", "seconds": 2.0},
    ):
        assert sampled(GENERATED, {**music, **change}) == before
    assert sampled({**GENERATED, "gain_db": 3.0, "fade_out": 1.0}, music) == before
    assert sampled(GENERATED) == before
    assert sampled(music) != before


def test_a_track_that_shots_hear_reaches_those_shots_alone() -> None:
    hears = {**MUSIC, "mode": "condition", "shot": "boat"}
    silent, heard = sampled(), sampled(hears)
    changed = {name for name in silent if heard[name] != silent[name]}
    boat = {chunk.index for chunk in make_plan(job()).videos[0].chunks if chunk.shot == 1}
    assert {int(name.split("/")[1]) for name in changed} == boat
    assert sampled({**hears, "gain_db": -6.0, "pan": 1.0, "fade_in": 1.0}) == heard
    assert sampled({**hears, "at": 0.5}) != heard


def test_a_shot_hears_its_file_from_its_own_start() -> None:
    (video,) = make_plan(job({**MUSIC, "mode": "condition", "shot": "boat", "at": 0.5})).videos
    first = next(chunk for chunk in video.chunks if chunk.shot == 1)
    assert first.heard is not None
    assert first.heard.samples == Span(-24_000, 17 * 1920 - 24_000)
    assert [chunk.sound for chunk in video.chunks if chunk.shot != 1] == [None] * 4


def test_shots_of_one_film_may_make_hear_or_have_no_sound() -> None:
    (video,) = make_plan(
        job({**GENERATED, "shot": "pier"}, {**MUSIC, "mode": "condition", "shot": "gulls"})
    ).videos
    by_shot = {chunk.shot: chunk.sound for chunk in video.chunks}
    assert by_shot == {0: "generate", 1: None, 2: "condition"}


def test_the_explicit_form_has_the_same_tracks() -> None:
    spec = job({**GENERATED, "shot": "boat"}, {**MUSIC, "shot": "pier", "at": 0.2})
    explicit = JobSpec.model_validate(explicit_data(spec))
    one, other = (make_plan(each).videos[0] for each in (spec, explicit))
    assert one.sound == other.sound
    assert [chunk.sound for chunk in one.chunks] == [chunk.sound for chunk in other.chunks]


def test_no_two_tracks_have_one_name() -> None:
    names = track_names([None, "score", None, None, None], ["pier", "b", "Score", "pier", "score"])
    assert names == ["pier", "score", "Score-2", "pier-2", "score-3"]
    sound = make_plan(job({**GENERATED, "shot": "pier"}, {"file": "a b/c d.wav"})).videos[0].sound
    assert sound is not None
    assert [track.name for track in sound.tracks] == ["pier", "c-d"]
    assert sound.said == "pier; c-d"


def test_a_take_has_the_sound_of_its_shot_alone() -> None:
    """What the shot hears begins where it does in the film."""
    shots = [{**shot, "takes": 2} if shot["name"] == "boat" else shot for shot in SHOTS]
    speech = {"file": "speech.wav", "mode": "condition", "fade_in": 1.0}
    bell = {"file": "bell.wav", "shot": "boat", "at": 0.5, "fade_in": 0.2, "duck": {}}
    other = {"file": "gull.wav", "shot": "gulls"}
    film, take, _ = make_plan(job(speech, MUSIC, bell, other, shots=shots)).videos
    assert take.sound is not None
    assert film.sound is not None
    assert [track.name for track in take.sound.tracks] == ["speech", "bell"]
    heard, own = take.sound.tracks
    assert heard.first_sample(1000, 25.0) == film.sound.tracks[0].first_sample(1000, 25.0) + 40 * BOAT.start
    assert heard.place(1000, 25.0, take.frames) == Span(0, 40 * len(BOAT))
    assert own.place(1000, 25.0, take.frames) == Span(500, 40 * len(BOAT))
    assert (heard.fade_in_s, own.fade_in_s, own.duck) == (0.0, 0.2, None)
    (made,) = make_plan(job({**GENERATED, "shot": "boat"}, shots=shots)).videos[1].sound.tracks  # type: ignore[union-attr]
    assert made.place(1000, 25.0, take.frames) == Span(0, 40 * len(BOAT))
    assert make_plan(job(MUSIC, shots=shots)).videos[1].sound is None
