"""One mistake, one error."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import Problem, SpecError
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
    ("more", "place", "remedy"),
    [
        (
            {"output": {"container": "prores"}},
            "output.container",
            "write `codec: prores` with `container: mov`",
        ),
        ({"output": {"container": "H265"}}, "output.container", "write `codec: hevc` with `container: mp4`"),
        ({"output": {"codec": "h265"}}, "output.codec", "write `hevc`"),
        (
            {"output": {"codec": "mov"}},
            "output.codec",
            "write `container: mov`, which takes h264, hevc, prores as `codec`",
        ),
        (
            {"defaults": {"image": "a.png"}},
            "defaults.image",
            "write `images: [{at: 0, image: a.png}]` in a shot, `at` in seconds",
        ),
        ({"output": {"container": "avi"}}, "output.container", "write one of these"),
    ],
)
def test_what_other_tools_call_otherwise_is_named(more: dict[str, Any], place: str, remedy: str) -> None:
    shot = {"name": "a", "seconds": 3, "prompt": "a boat"}
    (problem,) = problems([shot], **more)
    assert (problem.place, problem.remedy) == (place, remedy)


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        ({"image": "a.png"}, "write `images: [{at: 0, image: a.png}]`, `at` in seconds"),
        (
            {"dialogue": "hi there"},
            'write what is said into the `prompt`, in quotes, as `Anna says: "hi there"`; sound that the '
            "model makes, or a recording, is a track of the video's `sound`",
        ),
    ],
)
def test_what_other_tools_have_in_a_shot_is_named(field: dict[str, Any], remedy: str) -> None:
    (problem,) = problems([{"name": "a", "seconds": 3, "prompt": "a boat", **field}])
    assert problem.place == f"videos[0].shots[0].{next(iter(field))}"
    assert problem.remedy == remedy


def problems(shots: list[dict[str, Any]], **more: Any) -> tuple[Problem, ...]:
    spec = {"version": 3, "name": "harbor", "engine": {"name": "fake"}}
    with pytest.raises(SpecError) as refused:
        load_spec({**spec, "videos": [{"name": "dawn", "shots": shots}], **more})
    return tuple(refused.value.problems)


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
