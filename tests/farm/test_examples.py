"""The examples render: each on the fake engine, and as it stands on the bundled model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from actors.media.frames import Cut, read_video
from actors.media.probe import probe_video
from benchmarks.tiny.detector import read
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


@pytest.mark.long
def test_temporal_rounds_of_the_bundled_model(tmp_path: Path) -> None:
    """The ball is in every frame, and moves as evenly at the joint and between tiles as elsewhere."""
    example = next(path for path in EXAMPLES if path.stem == "more_frames")
    render(example, tmp_path)
    frames = read_video(tmp_path / "more-frames.mp4", Cut(256, 256, 50.0, 193))
    seen = read(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
    assert bool(seen.present.all())
    assert float(seen.steps.max() / torch.quantile(seen.steps, 0.99)) <= 1.5


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
