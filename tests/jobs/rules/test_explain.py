"""One mistake, one error."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.loading.load import load_spec


@pytest.mark.parametrize(
    ("settings", "place", "meant"),
    [
        ({"promt": "a boat"}, "generate.promt", "prompt"),
        ({"prompt": "a boat", "num_frame": 16}, "generate.num_frame", "num_frames"),
    ],
)
def test_a_misspelt_field_is_not_missing_too(settings: dict[str, Any], place: str, meant: str) -> None:
    spec = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": [{"generate": settings}]}],
    }
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    (problem,) = refused.value.problems
    assert problem.place == f"videos[0].chunks[0].{place}"
    assert problem.remedy == f"did you mean `{meant}`?"


@pytest.mark.parametrize("kind", ["shots", "chunks"])
def test_a_misspelt_required_field_is_one_mistake(kind: str) -> None:
    items = {
        "shots": {"name": "a", "second": 3, "prompt": "a boat"},
        "chunks": {"generate": {"promt": "a boat", "num_frames": 17}},
    }
    spec = {
        "version": 3,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", kind: [items[kind]]}],
    }
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    (problem,) = refused.value.problems
    assert problem.remedy in ("did you mean `seconds`?", "did you mean `prompt`?")


@pytest.mark.parametrize(
    ("mix", "fade_out", "remedy"),
    [
        ({"loudness": 16}, 0, "did you mean -16?"),
        ({"loudness": -2}, 0, "write a number of at most -5.0"),
        ({}, -2.5, "did you mean 2.5?"),
    ],
)
def test_a_sign_that_is_wrong_is_named(mix: dict[str, Any], fade_out: float, remedy: str) -> None:
    video = {
        "name": "dawn",
        "shots": [{"name": "a", "seconds": 3, "prompt": "a boat"}],
        "sound": [{"generate": True, "fade_out": fade_out}],
        "mix": mix,
    }
    spec = {"version": 3, "name": "harbor", "engine": {"name": "fake"}, "videos": [video]}
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    (problem,) = refused.value.problems
    assert problem.remedy == remedy


@pytest.mark.parametrize("wrong", [{"second": 3}, {"seconds": "4s"}, {}])
def test_a_shot_without_its_seconds_hides_no_other_mistake(wrong: dict[str, Any]) -> None:
    shots = [
        {"name": "a", "prompt": "a boat", "beats": [{"at": 2, "prompt": "gulls"}], **wrong},
        {"name": "b", "prompt": "a pier", "seconds": 2, "beats": [{"at": 3, "prompt": "gulls"}]},
    ]
    video = {"name": "dawn", "shots": shots, "sound": [{"file": "nowhere.wav", "shot": "c"}]}
    spec = {"version": 3, "name": "harbor", "engine": {"name": "fake"}, "videos": [video]}
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    assert {problem.place for problem in refused.value.problems} == {
        f"videos[0].shots[0].{next(iter(wrong), 'seconds')}",
        "videos[0].shots[1].beats[0].at",
        "videos[0].sound[0].shot",
        "videos[0].sound[0].file",
    }
