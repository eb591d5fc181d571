"""LoRAs of shots that change nothing are said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.advice.advice import advice
from jobs.loading.load import load_spec
from jobs.planning.facts import Probes, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec

EXAMPLES = Path(__file__).parents[3] / "examples"
ANNA, SECOND = "/l/anna.safetensors", {"upscale": 0.5}


def said(strength: Any, *shots: str, always: tuple[str, ...] = (), **more: Any) -> tuple[str, ...]:
    """Of a film whose shots have it."""
    loras = [{"path": ANNA, "strength": strength}]
    film = [{"name": name, "seconds": 8.0, "prompt": "noon", "loras": loras} for name in shots or ("a",)]
    engine = {"name": "fake", "loras": [{"path": path} for path in always]}
    data = {"name": "x", "engine": engine, "videos": [{"name": "dawn", "shots": film}], **more}
    lines = advice(make_plan(JobSpec.model_validate(data)))
    return tuple(line for line in lines if "anna" in line)


@pytest.mark.parametrize("more", [{}, {"upscale": {"steps": 0}}])
def test_one_of_a_second_pass_that_is_not_there(more: dict[str, Any]) -> None:
    (line,) = said(SECOND, **more)
    assert line.startswith("videos[0].shots[0]: anna.safetensors changes nothing: it counts in the second")
    assert "Add `upscale`" in line


def test_one_that_switches_nothing_off() -> None:
    (line,) = said(0.0, "a", "b", always=("/l/style.safetensors",), upscale={})
    assert line.startswith(
        "videos[0].shots[0] and 1 more: anna.safetensors changes nothing: its strength is 0"
    )
    assert "`engine.loras`" in line


@pytest.mark.parametrize(
    ("strength", "named"),
    [(1.0, True), ({"upscale": 0.5}, True), ({"sample": 1.0, "upscale": 0.5, "rounds": 0.0}, False)],
)
def test_temporal_rounds_have_an_ic_lora_in_the_second_pass(strength: Any, named: bool) -> None:
    engine = {"checkpoint": "/m/ltx.safetensors", "loras": [{"path": ANNA, "strength": strength}]}
    video = {"name": "dawn", "chunks": [{"generate": {"prompt": "noon"}}]}
    for upscale in ({"temporal": 2}, {}):
        job = {"name": "x", "engine": engine, "videos": [video], "upscale": upscale}
        lines = advice(make_plan(JobSpec.model_validate(job)))
        said = any("upscale: 0.5, rounds: 0" in line for line in lines)
        assert said == (named and bool(upscale))


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.yaml")), ids=lambda path: path.stem)
def test_examples_of_the_bundled_model_are_told_of_no_lora(path: Path) -> None:
    loaded = load_spec(path, probes=Probes(video=lambda _: VideoFact(97, 128, 128, 25.0)))
    if loaded.spec.engine.checkpoint is None:
        assert not [line for line in advice(make_plan(loaded.spec, loaded.facts)) if "LoRA" in line]


def test_what_changes_something_is_not_said() -> None:
    assert said(SECOND, upscale={}) == said({"sample": 0.5}) == said(0.5) == ()
    assert said(0.0, always=(ANNA,)) == said(SECOND, always=(ANNA,)) == ()
