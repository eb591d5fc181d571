"""Colours that the bundled model knows elsewhere only."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.advice.bundled import colour_advice
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan


def said(*prompts: str, **engine: Any) -> list[str]:
    videos = [
        {"name": f"v{number}", "chunks": [{"generate": {"prompt": prompt}}]}
        for number, prompt in enumerate(prompts)
    ]
    return list(colour_advice(make_plan(load_spec({"name": "x", "engine": engine, "videos": videos}).spec)))


@pytest.mark.parametrize(
    ("prompt", "named"),
    [
        ("a white ball bounces over a navy background", '"white ball"'),
        ("a blue ball bounces over a Yellow background", '"yellow background"'),
        ("a teal pyramid rolls over a red wall", '"teal pyramid", "red wall"'),
    ],
)
def test_what_it_never_saw_is_named(prompt: str, named: str) -> None:
    (line,) = said("a red ball moves over a teal background", prompt)
    assert line.startswith("videos[1].chunks[0].generate.prompt: ")
    assert named in line


def test_what_it_saw_is_not() -> None:
    assert (
        said("a red ball over a white background", "the dark backdrop", "a purple triangle, black wall") == []
    )


def test_many_are_counted() -> None:
    (line,) = said(*(f"a {colour} cube" for colour in ("white", "black", "navy", "gray", "teal")))
    assert '"navy cube" and 2 more' in line


def test_other_models_know_more() -> None:
    assert said("a white ball", name="fake") == []
