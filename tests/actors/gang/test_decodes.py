"""Ranks of a gang share a decode that comes in parts, and show what one process shows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.gang.gang import Gang
from jobs.tasks.task import Stage
from tests.actors.gang.test_gang import PROMPTS, WITH_SOUND, film, require_equal
from tests.official.pixel_vae import write_narrow_pixel_vae

if TYPE_CHECKING:
    from actors.payload import Payload
    from jobs.tasks.task import StageTask
    from tests.actors.conftest import Bench, MakeBench


def decoded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Payload], list[str]]:
    """The frames and the sound of each chunk, and the decodes that several ranks shared."""
    shared: list[str] = []
    step = Gang.step

    def noted(self: Gang, task: StageTask, *rest: Any) -> Any:
        shared.append(task.id)
        return step(self, task, *rest)

    monkeypatch.setattr(Gang, "step", noted)
    for name, task in bench.graph.tasks.items():
        if task.stage is not Stage.SEGMENT:
            bench.run(name)
    named = [name for name, task in bench.graph.tasks.items() if task.stage is Stage.DECODE]
    return {name: bench.payload(name) for name in named}, [name for name in named if name in shared]


@pytest.mark.parametrize("ranks", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_ranks_share_the_tiles_of_a_decode(
    make_bench: MakeBench, small_ltx_video: Path, image: Path, monkeypatch: pytest.MonkeyPatch, ranks: int
) -> None:
    """A window of one tile, and one that is decoded at once, are the first one's."""
    spec = film(small_ltx_video, image) | {"decode": {"tiling": {"tile_latents": 4, "overlap_latents": 1}}}
    wanted, nobody = decoded(make_bench(spec), monkeypatch)
    found, shared = decoded(make_bench(spec, ranks=ranks), monkeypatch)
    assert (nobody, shared) == ([], ["one/00000/decode", "one/00001/decode"])
    require_equal(found, wanted)
    del spec["decode"]
    assert decoded(make_bench(spec, ranks=ranks), monkeypatch)[1] == []


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("tiling", [None, {"tile_latents": 2, "overlap_latents": 1}], ids=["whole", "tiles"])
def test_ranks_share_a_diffusion_decoder(
    make_bench: MakeBench,
    small_ltx2: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ranks: int,
    tiling: dict[str, int] | None,
) -> None:
    """Its blocks take some frames at a time, with tiles of latents and without; the sound is the first
    one's."""
    vae = write_narrow_pixel_vae(tmp_path / "ltx-2.5-video-vae.safetensors")
    chunks = [{"generate": {"prompt": PROMPTS[0], "num_frames": 33}}]
    spec = {
        "engine": {"checkpoint": str(small_ltx2), "vae": str(vae)},
        "defaults": {
            "width": 64,
            "height": 32,
            "steps": 1,
            "cfg": 3.0,
            "sampler": "euler",
            "guider": WITH_SOUND,
        },
        "videos": [{"name": "one", "chunks": chunks, "sound": [{"generate": True}]}],
        "decode": {"tiling": tiling},
    }
    wanted, _ = decoded(make_bench(spec), monkeypatch)
    found, shared = decoded(make_bench(spec, ranks=ranks), monkeypatch)
    assert shared == list(wanted)
    assert {"frames", "audio"} <= set(wanted[shared[0]].arrays)
    require_equal(found, wanted)
