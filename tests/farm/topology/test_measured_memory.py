"""What `auto` reckons for workers, held against what they took on an H200."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gpu.weights import layout, upsampler_layout
from farm.topology.memory import engine_footprint
from jobs.loading.load import load_spec
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from tests.official.files import write_sparse
from tests.official.pixel_vae import write_pixel_vae

WORKERS = (("encode", "sample"), ("upscale",), ("decode",), ("encode", "sample", "upscale", "decode"))
DIFFUSION = "ltx2.5, diffusion decoder"
MEASURED = {
    ("13b", "bfloat16", (768, 512, 97)): (28.7, 31.7),
    ("13b", "bfloat16", (960, 544, 121)): (29.3, 34.0),
    ("13b", "fp8", (768, 512, 97)): (16.9, 20.2),
    ("13b", "fp8", (960, 544, 121)): (17.5, 22.8),
    ("ltx2.3", "fp8", (768, 512, 97)): (21.9, 22.9),
    ("ltx2.3", "fp8", (960, 544, 121)): (22.2, 24.2),
    ("ltx2.5", "bfloat16", (768, 512, 97)): (39.1, 40.3, 21.8, 57.4),
    ("ltx2.5", "bfloat16", (960, 544, 121)): (39.5, 41.7, 33.0, 68.6),
    (DIFFUSION, "bfloat16", (768, 512, 97)): (39.1, 40.3, 24.8, 60.4),
    (DIFFUSION, "bfloat16", (960, 544, 121)): (39.5, 41.8, 38.1, 73.7),
}
"""GiB of the first `WORKERS` on an H200 (docs/gpu.md)."""


@pytest.mark.parametrize("cell", MEASURED, ids=str)
def test_workers_take_what_was_measured(cell: tuple[str, str, tuple[int, int, int]], tmp_path: Path) -> None:
    model, dtype, (width, height, frames) = cell
    model, _, diffusion = model.partition(",")
    laid_out = layout(model)
    entries = {name: ("BF16", shape) for name, shape in laid_out.shapes.items()}
    path = write_sparse(tmp_path / "model.safetensors", entries)
    upsampler = {name: ("BF16", shape) for name, shape in upsampler_layout(model).shapes.items()}
    beside = write_sparse(tmp_path / "upsampler.safetensors", upsampler)
    named = {"checkpoint": str(path), "upscale_model": str(beside), "dtype": dtype}
    if diffusion:
        named["vae"] = str(write_pixel_vae(tmp_path / "pixels.safetensors"))
    job = {
        "version": 1,
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": width, "height": height, "prompt": "a clip", "cfg": 3.0},
        "videos": [{"name": "clip", "chunks": [{"generate": {"num_frames": frames}}]}],
        "upscale": {"steps": 3, "cfg": 3.0},
    }
    tasks = build_graph(make_plan(load_spec(job).spec)).tasks.values()
    footprint = engine_footprint(EngineConfig.model_validate(named), tasks, 141.0)
    assert footprint is not None
    for stages, gib in zip(WORKERS, MEASURED[cell], strict=False):
        reckoned = footprint.together_gib([Stage(stage) for stage in stages])
        print(f"{model}, {dtype}, {width}x{height}x{frames}, {stages}: {reckoned:.1f} of {gib}")
        assert gib <= reckoned < 1.1 * gib
