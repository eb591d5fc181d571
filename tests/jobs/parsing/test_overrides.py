"""`-p place=value`."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import UsageError
from jobs.parsing.overrides import apply_overrides, parse_place

SPEC: dict[str, Any] = {"name": "x", "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p"}}]}]}


@pytest.mark.parametrize(
    ("assignment", "place", "value"),
    [
        ("name=y", ("name",), "y"),
        ("defaults.seed=3", ("defaults", "seed"), 3),
        ("defaults.cfg=1e-3", ("defaults", "cfg"), 0.001),
        ("run.verify.black=off", ("run", "verify", "black"), "off"),
        ("upscale={steps: 4}", ("upscale",), {"steps": 4}),
        ("upscale=", ("upscale",), None),
        (
            "videos[0].chunks[0].generate.prompt=a = b",
            ("videos", 0, "chunks", 0, "generate", "prompt"),
            "a = b",
        ),
        ("matrix.seed=[1, 2]", ("matrix", "seed"), [1, 2]),
    ],
)
def test_a_value_is_set_in_a_copy(assignment: str, place: tuple[str | int, ...], value: Any) -> None:
    found: Any = apply_overrides(SPEC, [assignment])
    for part in place:
        found = found[part]
    assert found == value
    assert SPEC["name"] == "x"
    assert "defaults" not in SPEC


@pytest.mark.parametrize(
    "assignment",
    [
        "name", "=3", "a b=3", "videos[5].name=x", "videos[x]=3", "videos.name=x", "name[0]=x", "name.x=1",
        "[0]=1", "a..b=1", "name={", "name=!!binary aGk=", "videos[99999999]=1", ".name=x", "videos[0]name=x",
    ],
)  # fmt: skip
def test_what_is_no_assignment_is_a_usage_error(assignment: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_overrides(SPEC, [assignment])
    (problem,) = caught.value.problems
    assert problem.value == assignment
    assert problem.remedy


@pytest.mark.parametrize(
    ("assignment", "remedy"),
    [
        ("videos.name=x", "write `-p 'videos[0].name=...'`"),
        ("videos[0].chunks.generate.prompt=x", "write `-p 'videos[0].chunks[0].generate=...'`"),
        ("name={", "put the value in quotes: -p 'name=\"{\"'"),
    ],
)
def test_the_remedy_can_be_typed(assignment: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        apply_overrides(SPEC, [assignment])
    assert caught.value.problems[0].remedy == remedy


def test_later_assignments_see_earlier_ones() -> None:
    assert apply_overrides(SPEC, ["defaults.seed=1", "defaults.seed=2"])["defaults"] == {"seed": 2}


def test_places_parse() -> None:
    assert parse_place("videos[0].chunks[12].extend") == ("videos", 0, "chunks", 12, "extend")
    assert parse_place("a.") == ()
