"""Prompts that the bundled model cannot read, named where they are written."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes, PromptFault

KNOWN = {"a", "red", "ball", "cube"}


def read(prompt: str) -> PromptFault | None:
    unknown = [word for word in prompt.split() if word not in KNOWN]
    return PromptFault(" ".join(unknown), "few words", "others") if unknown else None


def places(spec: dict[str, Any]) -> dict[str, str]:
    try:
        load_spec({"name": "x", **spec}, probes=Probes(prompt=read))
    except SpecError as error:
        return {problem.place: problem.value for problem in error.problems}
    return {}


def video(*prompts: str, **settings: Any) -> dict[str, Any]:
    chunks = [{"generate": {"prompt": prompt, **settings}} for prompt in prompts]
    return {"name": "a", "chunks": chunks}


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        ({"videos": [video("a red ball", "a cat")]}, {"videos[0].chunks[1].generate.prompt": "cat"}),
        (
            {"videos": [video("a ball", negative="no dog")]},
            {"videos[0].chunks[0].generate.negative": "no dog"},
        ),
        (
            {"defaults": {"prompt": "a dog"}, "videos": [{"name": "a", "chunks": [{"generate": {}}]}]},
            {"defaults.prompt": "dog"},
        ),
        ({"defaults": {"prompt": "a dog"}, "videos": [video("a ball")]}, {}),
        (
            {"videos": [video("a {what}")], "matrix": {"what": ["ball", "dog", "cube", "cat"]}},
            {"matrix.what[1]": "dog", "matrix.what[3]": "cat"},
        ),
        (
            {"videos": [video("some {what}")], "matrix": {"what": ["ball", "dog"]}},
            {"matrix.what[1]": "dog", "videos[0].chunks[0].generate.prompt": "some"},
        ),
        (
            {
                "videos": [{"name": "a", "chunks": [{"generate": {}}]}],
                "matrix": {"prompt": ["a ball", "a dog"]},
            },
            {"matrix.prompt[1]": "dog"},
        ),
        ({"engine": {"name": "fake"}, "videos": [video("a cat")]}, {}),
        ({"engine": {"name": "comfyui", "checkpoint": "ltxv.safetensors"}, "videos": [video("a cat")]}, {}),
    ],
)
def test_unknown_words_are_named_where_they_stand(spec: dict[str, Any], found: dict[str, str]) -> None:
    assert places(spec) == found
