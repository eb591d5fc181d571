"""Second passes of 1.5 times the width and height."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

import farm
from actors.media.probe import probe_video
from farm.events import JobFinished
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.params import PassParams, Upsampling
from jobs.planning.plan import make_plan
from jobs.store.store import Store
from jobs.tasks.digest import Fingerprint, digests
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.official.ltx2_files import write_small
from tests.official.upsamplers import write_rational


def spec(engine: dict[str, Any], out: Path, **more: Any) -> dict[str, Any]:
    return {
        "version": 3,
        "name": "film",
        "engine": engine,
        "defaults": {"width": 64, "height": 128, "steps": 1, "prompt": "a red ball", "cfg": 1.0},
        "videos": [
            {
                "name": "clip",
                "chunks": [
                    {"generate": {"num_frames": 17}},
                    {"extend": {"num_new_frames": 8, "overlap_frames": 8}},
                ],
            }
        ],
        "upscale": {"spatial": 1.5, "steps": 1, "cfg": 1.0, "joint": "still"},
        "output": {"dir": str(out)},
        **more,
    }


@pytest.fixture
def engine(tmp_path: Path) -> dict[str, Any]:
    checkpoint = write_small(tmp_path / "model.safetensors", "2.3")
    return {
        "name": "diffusers",
        "checkpoint": str(checkpoint),
        "upscale_model": str(write_rational(tmp_path / "x1.5.safetensors")),
    }


def test_a_film_of_it(engine: dict[str, Any], tmp_path: Path) -> None:
    job = spec(engine, tmp_path / "out", run={"keep": "all"})
    runs = str(tmp_path / "runs")
    end = list(farm.render(job, runs=runs, serial=True))[-1]
    assert isinstance(end, JobFinished)
    assert end.outcome == "done"
    film = probe_video(tmp_path / "out" / "clip.mp4")
    assert (film.width, film.height) == (96, 192)
    store = Store.open(runs, "film")
    shapes = {
        str(commit.provenance["task"]): load(store.read(commit))["latents"].shape[3:]
        for commit in store.commits().values()
        if str(commit.provenance["task"]).endswith(("/sample", "/upscale"))
    }
    assert shapes["clip/00000/sample"] == (4, 2)
    assert shapes["clip/00001/upscale"] == (6, 3)


def test_what_is_planned_for_it(tmp_path: Path) -> None:
    loaded = load_spec(spec({"name": "fake"}, tmp_path / "out"))
    plan = make_plan(loaded.spec)
    (video,) = plan.videos
    assert (video.width, video.height) == (96, 192)
    passes = [
        task.params
        for task in build_graph(plan).tasks.values()
        if task.stage is Stage.UPSCALE and isinstance(task.params, PassParams)
    ]
    assert len(passes) == 2
    assert {(run.width, run.height, run.upsampling) for run in passes} == {(96, 192, Upsampling(spatial=1.5))}


def test_twice_the_size_is_the_same_said_or_not(tmp_path: Path) -> None:
    made = [
        digests(build_graph(make_plan(loaded.spec)), Fingerprint({}, {}, {}))
        for told in ({}, {"spatial": 2}, {"spatial": 2.0})
        for loaded in (load_spec(spec({"name": "fake"}, tmp_path, upscale=told)),)
    ]
    assert made[0] == made[1] == made[2]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"defaults": {"width": 96, "height": 64, "prompt": "p"}}, "multiples of 64"),
        ({"upscale": {"spatial": 3}}, "2 or 1.5"),
        ({"upscale": {"spatial": 2}}, "makes width and height 1.5 times as large"),
        ({"upscale": {}}, "write 1.5, or name the upsampler of 2x"),
    ],
)
def test_what_is_refused(engine: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_spec(spec(engine, tmp_path / "out", **changes))


@pytest.mark.parametrize("name", ["comfyui", "diffusers"])
def test_others_have_none(name: str, tmp_path: Path) -> None:
    """ComfyUI's engine doubles, and so does the bundled model."""
    with pytest.raises(SpecError, match="one that LTX-2 has"):
        load_spec(spec({"name": name}, tmp_path / "out"))


def test_it_is_diffusers_upsampler(engine: dict[str, Any]) -> None:
    import torch
    from diffusers.pipelines.ltx2.latent_upsampler import SpatialRationalResampler
    from safetensors.torch import load_file

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import upsampler_component

    path = Path(engine["upscale_model"])
    module = upsampler_component(Checkpoint.open(path)).load(torch.float32)
    weights = {
        name.removeprefix("upsampler."): tensor
        for name, tensor in load_file(path).items()
        if name.startswith("upsampler.")
    }
    alone = SpatialRationalResampler(32, 1.5)
    alone.load_state_dict(weights)
    x = torch.randn(2, 32, 4, 6, generator=torch.Generator().manual_seed(1))
    assert np.array_equal(module.upsampler(x).detach(), alone(x).detach())
    assert module.upsampler(x).shape == (2, 32, 6, 9)
