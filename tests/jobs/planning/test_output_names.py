"""No two things that a job writes have one name: films, previews, folders of pictures, what is being made."""

from __future__ import annotations

import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import InputError, SpecError
from jobs.loading.load import load_spec
from jobs.planning.expand import variants
from jobs.planning.output_names import output_names, preview_name, same_name, temporary_name
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.spec.output import Output
from jobs.tasks.graph import build_graph

LONG = "a quiet evening in the harbor, rain on the windows"


def spec(*names: str, container: str = "mp4", prompt: str = "a ball", **more: Any) -> dict[str, Any]:
    videos = [{"name": name, "chunks": [{"generate": {"prompt": prompt}}]} for name in names]
    output = {"dir": "out", "container": container}
    return {"name": "job", "engine": {"name": "fake"}, "videos": videos, "output": output, **more}


def names(data: dict[str, Any]) -> list[str]:
    return [variant.name for variant in variants(JobSpec.model_validate(data))]


@pytest.mark.parametrize(
    ("matrix", "found"),
    [
        ({"mood": ["2", LONG]}, ["v-mood-2", "v-mood_2"]),
        ({"mood": [LONG, "1"]}, ["v-mood_1", "v-mood-1"]),
        ({"mood": ["calm", "wild"]}, ["v-mood-calm", "v-mood-wild"]),
        ({"mood": ["a dark mood"]}, ["v-mood-a-dark-mood"]),
        (
            {"a": ["x", "x b y"], "b": ["y b z", "z"]},
            ["v-a-x-b-y-b-z", "v-a-x-b-z", "v-a_2-b-y-b-z", "v-a_2-b-z"],
        ),
    ],
)
def test_every_combination_has_a_name_of_its_own(matrix: dict[str, list[str]], found: list[str]) -> None:
    prompt = "".join(f"{{{key}}}" for key in matrix)
    assert names(spec("v", prompt=prompt, matrix=matrix)) == found
    plan = make_plan(load_spec(spec("v", prompt=prompt, matrix=matrix)).spec)
    assert len({video.output for video in plan.videos}) == len(found)


WORDS = st.text(st.sampled_from("ab1- _.B"), min_size=1, max_size=8) | st.integers(-2, 4) | st.just(LONG)
KEYS = st.sampled_from(["a", "b", "B", "a_1", "b1"])


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(KEYS, st.lists(WORDS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_names_of_a_matrix_never_meet(matrix: dict[str, list[Any]]) -> None:
    found = [same_name(name) for name in names(spec("v", matrix=matrix))]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("pair", "container"),
    [
        (("a", "a.preview"), "mp4"),
        (("a.preview", "a"), "mp4"),
        (("a", "A.preview"), "mov"),
        (("dawn", "DAWN"), "png-sequence"),
    ],
)
def test_names_that_meet_are_refused(pair: tuple[str, str], container: str) -> None:
    require_refused(spec(*pair, container=container))


def test_a_video_named_like_a_combination_of_another_is_refused() -> None:
    matrix = {"mood": ["dark mood x", "x"]}
    require_refused(spec("v", "V-mood-dark", prompt="{mood}", matrix=matrix))


def require_refused(data: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as refused:
        load_spec(data)
    (problem,) = refused.value.problems
    assert problem.place == "videos[1].name"
    assert "it too" in problem.rule
    assert "another name" in problem.remedy


@pytest.mark.parametrize(
    ("container", "preview"),
    [("mp4", "dawn.preview.mp4"), ("mkv", "dawn.preview.mov"), ("png-sequence", None)],
)
def test_names_of_previews(container: str, preview: str | None) -> None:
    assert preview_name("dawn", container) == preview


def test_previews_of_another_form_do_not_meet_films() -> None:
    load_spec(spec("a", "a.preview", container="mkv"))
    load_spec(spec("a", "a.preview", container="png-sequence"))


def test_a_video_is_not_called_as_shared_tasks_are() -> None:
    with pytest.raises(SpecError, match="tasks that several videos share"):
        load_spec(spec("encode"))


def test_two_unequal_tasks_with_one_id_are_an_error() -> None:
    plan = make_plan(load_spec(spec("v", prompt="{mood}", matrix={"mood": ["calm", "wild"]})).spec)
    twice = tuple(
        replace(video, name="v", chunks=tuple(replace(chunk, video="v") for chunk in video.chunks))
        for video in plan.videos
    )
    with pytest.raises(InputError, match=r"v/00000/sample(?s:.*)another name"):
        build_graph(replace(plan, videos=twice))


def test_one_name_in_other_forms() -> None:
    accented = "D\u00e9j\u00e0 Vu.mp4"
    assert same_name(accented) == same_name(unicodedata.normalize("NFD", accented).upper())
    assert same_name("a.mp4") != same_name("b.mp4")


def test_temporary_names_are_hidden_and_nobody_elses() -> None:
    made = {temporary_name("dawn.mp4") for _ in range(100)}
    assert len(made) == 100
    assert all(name.startswith(".dawn.mp4.") for name in made)
    names = output_names("x" * 200, ["x" * 200 + ".mp4"], Output(), has_sound=True)
    longest = max((output.name for output in names), key=len)
    assert len(temporary_name(longest)) <= 255


@pytest.mark.parametrize(
    ("container", "file"),
    [("mp4", "DAWN.mp4"), ("mp4", "dawn.preview.mp4"), ("png-sequence", "dawn/00000003.png")],
)
def test_inputs_are_not_where_a_film_goes(tmp_path: Path, container: str, file: str) -> None:
    path = tmp_path / "out" / file
    path.parent.mkdir(parents=True)
    path.write_bytes(b"a picture")
    (tmp_path / "link").symlink_to(tmp_path / "out")
    data = spec("dawn", container=container)
    data["output"]["dir"] = str(tmp_path / "link")
    data["videos"][0]["chunks"][0]["generate"]["first_image"] = str(path)
    with pytest.raises(SpecError) as refused:
        load_spec(data)
    places = {problem.place: problem.rule for problem in refused.value.problems}
    assert "never overwritten" in places["videos[0].chunks[0].generate.first_image"]


@pytest.mark.parametrize(
    ("place", "container", "words"),
    [
        ("ftp://host/films", "mp4", "s3://"),
        ("simplecache::s3://bucket/films", "mp4", "s3://"),
        ("s3:///films", "mp4", "name the bucket"),
        ("s3:/bucket/films", "mp4", "s3://bucket/films"),
        ("gs://bucket/films", "png-sequence", "container: mov"),
        ("gs://bucket/films", "mp4", "pip install gcsfs"),
    ],
)
def test_places_that_hold_no_films_are_refused(
    place: str, container: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.rules.outputs.find_spec", lambda _: None)
    data = spec("dawn", container=container)
    data["output"]["dir"] = place
    with pytest.raises(SpecError) as refused:
        load_spec(data)
    problem = refused.value.problems[0]
    assert problem.place == "output.dir"
    assert words in f"{problem.rule} {problem.remedy}"


def test_urls_of_folders_are_folders(tmp_path: Path) -> None:
    for scheme in ("file", "local"):
        data = spec("dawn")
        data["output"]["dir"] = f"{scheme}://{tmp_path}/films"
        assert load_spec(data).spec.output.dir == f"{tmp_path}/films"


def test_folders_that_cannot_be_reached_are_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for folder in (tmp_path / "loop" / "films", tmp_path / ("x" * 300)):
        data = spec("dawn")
        data["output"]["dir"] = str(folder)
        with pytest.raises(SpecError) as refused:
            load_spec(data)
        assert [problem.place for problem in refused.value.problems] == ["output.dir"]
