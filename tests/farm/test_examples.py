"""The examples render: each on the fake engine, and as it stands on the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.media.probe import probe_video
from farm.api import films
from farm.options import RenderOptions
from farm.specs.load import load
from jobs.planning.plan import make_plan

EXAMPLES = sorted((Path(__file__).parents[2] / "examples").glob("*.yaml"))
SMALL = ("defaults.width=64", "defaults.height=64")
"""What a fake film shows does not depend on its size."""


def needs_models(example: Path) -> bool:
    """Whether its models come from elsewhere; the others take the bundled one."""
    return "engine" in yaml.safe_load(example.read_text())


def render(example: Path, home: Path, *overrides: str) -> None:
    """Renders it and holds every film against the plan."""
    options = RenderOptions(str(home / "runs"), serial=True, overrides=(f"output.dir={home}", *overrides))
    loaded = load(str(example), options)
    made = {film.video: film for film in films(loaded, options)}
    plan = make_plan(loaded.spec, loaded.facts)
    assert set(made) == {video.name for video in plan.videos}
    for video in plan.videos:
        seen = probe_video(made[video.name].path)
        assert (seen.frames, seen.width, seen.height) == (video.frames, video.width, video.height)


def test_there_are_some() -> None:
    assert {path.stem for path in EXAMPLES} >= {
        "film",
        "one_shot",
        "long_take",
        "multi_shot",
        "batch",
        "ltx2",
    }


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_on_the_fake_engine(example: Path, tmp_path: Path) -> None:
    render(example, tmp_path, "engine.name=fake", *SMALL)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "example", [path for path in EXAMPLES if not needs_models(path)], ids=lambda path: path.stem
)
def test_as_it_stands(example: Path, tmp_path: Path) -> None:
    render(example, tmp_path)
