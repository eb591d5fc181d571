"""One mistake, one error."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

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
            'write `images: [{at: 0, image: "a.png"}]` in a shot, `at` in seconds',
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
        ({"image": "a.png"}, 'write `images: [{at: 0, image: "a.png"}]`, `at` in seconds'),
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


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fps", "did you mean `frame_rate` in defaults?"),
        ("text", "remove `text`: `prompt` is there"),
        ("negative_prompt", "did you mean `negative`?"),
        ("num-inference-steps", "did you mean `steps`?"),
        ("guidance_scale", "did you mean `cfg`?"),
        ("model", "did you mean `checkpoint` in engine?"),
        ("music", "did you mean `sound` in videos[]?"),
        ("num_videos", "did you mean `takes`?"),
        ("scenes", "did you mean `shots` in videos[]?"),
        ("resolution", "write `width` and `height` in `defaults`, or of the video"),
        ("container", "`container` belongs in output or output.deliveries[]"),
    ],
)
def test_what_other_tools_call_a_field_is_named(name: str, meant: str) -> None:
    (problem,) = problems([{"name": "a", "seconds": 3, "prompt": "a boat", name: "x"}])
    assert problem.remedy == meant


def test_a_size_in_one_is_written_as_two() -> None:
    shots = [{"name": "a", "seconds": 3, "prompt": "a boat"}]
    (problem,) = problems(shots, defaults={"resolution": "768x512"})
    assert problem.remedy == "write `width: 768` and `height: 512`"


@pytest.mark.parametrize("name", ["duration", "length"])
def test_a_length_by_another_name_is_one_mistake_and_hides_no_other(name: str) -> None:
    shot = {
        "name": "a",
        "prompt": "a boat",
        name: 4,
        "beats": [{"at": 2, "prompt": "x"}, {"at": 2, "prompt": "y"}],
    }
    first, second = problems([shot])
    assert (first.place, first.remedy) == (f"videos[0].shots[0].{name}", "did you mean `seconds`?")
    assert second.place == "videos[0].shots[0].beats[1].at"


@pytest.mark.parametrize("name", ["duration", "length", "second"])
def test_a_field_beside_the_one_that_it_means_is_taken_out(name: str) -> None:
    (problem,) = problems([{"name": "a", "seconds": 3, "prompt": "a boat", name: 4}])
    assert problem.remedy == f"remove `{name}`: `seconds` is there"


def test_what_a_recipe_fills_in_is_not_there() -> None:
    shot = {"name": "a", "seconds": 3, "prompt": "a boat"}
    more = {"recipe": "ltx-2.3-distilled", "defaults": {"guidance_scale": 3}}
    found = {problem.place: problem.remedy for problem in problems([shot], **more)}
    assert found["defaults.guidance_scale"] == "did you mean `cfg`?"


@pytest.mark.parametrize("name", ["path", "file"])
def test_the_file_of_a_source_is_one_mistake(name: str) -> None:
    video = {"name": "dawn", "source": {name: "a.mp4"}, "chunks": [{"extend": {"prompt": "a boat"}}]}
    (problem,) = problems([], videos=[video])
    assert (problem.place, problem.remedy) == (f"videos[0].source.{name}", "did you mean `video`?")


def test_a_track_of_several_shots_is_several_tracks() -> None:
    shots = [{"name": name, "seconds": 3, "prompt": "a boat"} for name in "ab"]
    video = {"name": "dawn", "shots": shots, "sound": [{"generate": True, "shot": ["a", "a"]}]}
    (problem,) = problems([], videos=[video])
    assert problem.place == "videos[0].sound[0].shot"
    assert problem.remedy.startswith("write a track for each shot")


def test_a_field_of_another_place_is_sent_there() -> None:
    video = {"name": "dawn", "seconds": 3, "shots": [{"name": "a", "seconds": 3, "prompt": "a boat"}]}
    (problem,) = problems([], videos=[video])
    assert problem.remedy == "`seconds` belongs in videos[].shots[] or videos[].sound[]"


def problems(shots: list[dict[str, Any]], **more: Any) -> tuple[Problem, ...]:
    spec = {"version": 3, "name": "harbor", "engine": {"name": "fake"}}
    with pytest.raises(SpecError) as refused:
        load_spec({**spec, "videos": [{"name": "dawn", "shots": shots}], **more})
    return tuple(refused.value.problems)


SAID = (
    "write what is said into the `prompt` of a {unit}, in quotes, as `Anna says: {words}`; sound that the "
    "model makes, or a recording, is a track of the video's `sound`"
)


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        ({"dialogue": "hi"}, SAID.format(unit="shot", words='"hi"')),
        ({"dialogue": ["hi"]}, SAID.format(unit="shot", words='"..."')),
        ({"voice": 90 * "a"}, SAID.format(unit="shot", words=f'"{79 * "a"}…"')),
        ({"image": 3}, 'write `images: [{at: 0, image: "..."}]` in a shot, `at` in seconds'),
    ],
)
def test_what_other_tools_have_at_the_top_is_named(field: dict[str, Any], remedy: str) -> None:
    (problem,) = problems([{"name": "a", "seconds": 3, "prompt": "a boat"}], **field)
    assert problem.remedy == remedy


@pytest.mark.parametrize(
    ("field", "remedy"),
    [
        (
            {"image": "a.png"},
            'write `first_image: "a.png"` in a `generate`, or `images: [{frame: 40, image: "a.png"}]` in a '
            "chunk",
        ),
        ({"dialogue": "hi"}, SAID.format(unit="chunk", words='"hi"')),
    ],
)
def test_a_video_of_chunks_is_sent_to_its_chunks(field: dict[str, Any], remedy: str) -> None:
    chunks = [{"generate": {"num_frames": 17, "prompt": "a boat"}}]
    (problem,) = problems([], videos=[{"name": "dawn", "chunks": chunks, **field}])
    assert problem.remedy == remedy


def test_a_video_of_retakes_is_not_sent_to_a_shot() -> None:
    retakes = [{"start": 8, "stop": 16, "prompt": "a boat"}]
    video = {"name": "dawn", "source": {"path": "a.mp4"}, "retakes": retakes, "image": "a.png"}
    (problem,) = [found for found in problems([], videos=[video]) if found.place == "videos[0].image"]
    assert problem.remedy == "remove `image`: a retake has no guide images"


@pytest.mark.parametrize("name", ["a: b.png", "# c.png", 'it\'s \\ "d".png'])
def test_what_is_to_be_written_of_an_image_parses(name: str) -> None:
    (problem,) = problems([{"name": "a", "seconds": 3, "prompt": "a boat", "image": name}])
    written = problem.remedy.split("`")[1]
    assert yaml.safe_load(written) == {"images": [{"at": 0, "image": name}]}


def test_a_prompt_that_is_cut_has_a_mark() -> None:
    (problem,) = problems([], videos=[{"name": "dawn", "chunks": ["generate " + 300 * "a"]}])
    assert problem.remedy == f'write `- generate: {{prompt: "{199 * "a"}…"}}`'


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


def test_a_faulty_field_hides_nothing_that_is_wrong_with_what_holds_it() -> None:
    video = {
        "name": "dawn",
        "shots": [{"name": "a", "prompt": "a boat"}],
        "chunks": [{"generate": {"prompt": "a boat", "num_frames": 98}}],
        "sound": [{"generate": True, "file": "nowhere.wav", "gain_db": 900.0}, {"file": 3}],
    }
    spec = {"version": 3, "name": "harbor", "engine": {"name": "fake"}, "videos": [video]}
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    assert {problem.place for problem in refused.value.problems} == {
        "videos[0]",
        "videos[0].shots[0].seconds",
        "videos[0].chunks[0].generate.num_frames",
        "videos[0].sound[0]",
        "videos[0].sound[0].gain_db",
        "videos[0].sound[1].file",
    }
