"""Temporal rounds on a small LTX-2.5: the same bytes from one process, several workers, and a job in which a
worker is lost between two tiles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.media.probe import probe_video
from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash
from farm.events import TaskStarted, WorkerGone
from tests.farm.execution.local_render import render
from tests.official.upsamplers import write_rational, write_temporal
from tests.ray.kit.specs import JOB, Rendered, render_alone


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rounds")


@pytest.fixture(scope="module")
def engine(small_ltx2: Path, folder: Path) -> dict[str, Any]:
    return {
        "checkpoint": str(small_ltx2),
        "upscale_model": str(write_rational(folder / "space.safetensors", 4)),
        "temporal_upscale_model": str(write_temporal(folder / "time.safetensors")),
    }


def film(engine: dict[str, Any], out: Path) -> dict[str, Any]:
    """A Generate of two segments and an Extend of one, with sound."""
    levels = {"sigmas": [1.0, 0.0], "cfg": 1.0, "sampler": "euler"}
    chunks = [
        {"generate": {"prompt": "a red ball bounces", "num_frames": 49}},
        {"extend": {"prompt": "a ball keeps bouncing", "overlap_frames": 16, "num_new_frames": 24}},
    ]
    return {
        "version": 3,
        "name": JOB,
        "engine": engine,
        "defaults": {"width": 64, "height": 32, "frame_rate": 24, **levels},
        "upscale": {**levels, "sigmas": [0.9, 0.0], "temporal": 4},
        "videos": [{"name": "dawn", "sound": [{"generate": True}], "chunks": chunks}],
        "run": {"threads": 1},
        "output": {"dir": str(out)},
    }


@pytest.fixture(scope="module")
def alone(engine: dict[str, Any], folder: Path) -> Rendered:
    return render_alone(folder / "alone", film(engine, folder / "out"))


def test_equal_bytes_from_two_workers(
    engine: dict[str, Any], alone: Rendered, folder: Path, tmp_path: Path
) -> None:
    made = probe_video(folder / "out" / "dawn.mp4")
    assert (made.frames, made.frame_rate) == (4 * (73 - 1) + 1, 96.0)
    for topology in ("mono=2", "sample=1,upscale=2,decode=1,segment=1"):
        rendered = render(tmp_path / topology, film(engine, tmp_path / topology / "out"), topology)
        assert (rendered.outcome, rendered.films) == ("done", alone.films), (topology, rendered.events[-1])


def test_a_worker_is_lost_between_two_tiles(engine: dict[str, Any], alone: Rendered, tmp_path: Path) -> None:
    dooms = Dooms(Doom("dawn/00000.r2-t1/upscale", Crash(0.01, noticed_s=0.01)))
    data = film(engine, tmp_path / "again")
    rendered = render(tmp_path / "runs", data, "mono=1", LocalCluster(fates=dooms))
    assert rendered.of(WorkerGone)
    assert (rendered.outcome, rendered.films) == ("done", alone.films)


def test_windows_are_decoded_side_by_side_and_a_worker_is_lost_between_two(
    engine: dict[str, Any], alone: Rendered, tmp_path: Path
) -> None:
    dooms = Dooms(Doom("dawn/00000.w2/decode", Crash(0.01, noticed_s=0.01)))
    data = film(engine, tmp_path / "again")
    rendered = render(tmp_path / "runs", data, "sample+upscale=1,decode=2", LocalCluster(fates=dooms))
    assert rendered.of(WorkerGone)
    decodes = {event.task: event.worker for event in rendered.of(TaskStarted) if ".w" in event.task}
    assert len(decodes) == 8
    assert len(set(decodes.values())) == 2
    assert (rendered.outcome, rendered.films) == ("done", alone.films)
