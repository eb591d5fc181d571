"""A film through LTX-2.5's diffusion decoder: the same bytes from one worker, several, and a resumed job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from cluster.local.cluster import Doom, Dooms, LocalCluster
from cluster.local.faults import Crash
from farm.events import TaskCommitted, WorkerGone
from tests.farm.execution.local_render import render
from tests.official.pixel_vae import write_narrow_pixel_vae
from tests.ray.kit.specs import JOB, render_alone


@pytest.fixture
def film(small_ltx2: Path, tmp_path: Path) -> dict[str, Any]:
    """Two chunks, the first of which follows an image, that the same file encodes."""
    vae = write_narrow_pixel_vae(tmp_path / "ltx-2.5-video-vae.safetensors")
    image = tmp_path / "a.png"
    Image.new("RGB", (32, 32), (200, 40, 40)).save(image)
    generate = {"prompt": "a red ball", "num_frames": 17, "first_image": str(image)}
    extend = {"prompt": "a ball", "num_new_frames": 16, "overlap_frames": 16}
    return {
        "version": 3,
        "name": JOB,
        "engine": {"checkpoint": str(small_ltx2), "vae": str(vae)},
        "defaults": {"width": 32, "height": 32, "steps": 1, "cfg": 1.0, "sampler": "euler", "seed": 5},
        "videos": [{"name": "dawn", "chunks": [{"generate": generate}, {"extend": extend}]}],
        "run": {"threads": 1},
        "output": {"dir": str(tmp_path / "films")},
    }


def test_equal_bytes_from_every_topology(film: dict[str, Any], tmp_path: Path) -> None:
    def into(name: str) -> dict[str, Any]:
        return {**film, "output": {"dir": str(tmp_path / f"films of {name}")}}

    wanted = render_alone(tmp_path / "alone", into("one process")).films
    assert wanted
    split = "sample=1,encode+decode=1,segment=1"
    for topology in ("mono=2", split):
        rendered = render(tmp_path / topology, into(topology), topology)
        assert (rendered.outcome, rendered.films) == ("done", wanted), topology
    dooms = Dooms(Doom("dawn/00001/decode", Crash(0.01, noticed_s=0.01)))
    resumed = render(tmp_path / "resumed", film, "mono=1", LocalCluster(fates=dooms))
    assert resumed.of(WorkerGone)
    assert resumed.films == wanted


def test_another_decoder_decodes_again(film: dict[str, Any], tmp_path: Path) -> None:
    render(tmp_path / "runs", film, "mono=1")
    write_narrow_pixel_vae(Path(film["engine"]["vae"]), seed=8)
    again = render(tmp_path / "runs", film, "mono=1")
    made = {event.task.split("/")[-1] for event in again.of(TaskCommitted)}
    assert "decode" in made
