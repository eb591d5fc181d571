"""The bundled model in a gang of processes: the latents of one, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.models import TINY_CHECKPOINT
from jobs.planning.params import PassParams
from jobs.tasks.task import Stage
from tests.actors.gang.test_gang import listening, pids_of, require_equal
from tests.official.ic_lora import write_ic_lora

if TYPE_CHECKING:
    from actors.payload import Payload
    from tests.actors.conftest import Bench, MakeBench

PROMPTS = ("a red ball bounces over a teal background", "it keeps bouncing over a teal background")
GUIDER = {
    "name": "stg",
    "params": {"blocks": [2], "stg_scale": 1.0, "audio_cfg": 3.0, "modality": 3.0, "rescale": 0.7},
}
"""Four forwards a step."""


def film(image: Path, lora: Path) -> dict[str, Any]:
    """In both passes with sound: an image in the middle and a reference of half the weight, and an Extend."""
    still, sheet = {"image": str(image), "frame": 8, "strength": 0.7}, {"image": str(image), "attention": 0.5}
    first = {"prompt": PROMPTS[0], "num_frames": 17, "images": [still], "references": [sheet]}
    more = {"prompt": PROMPTS[1], "num_new_frames": 8, "overlap_frames": 16}
    chunks = [{"generate": first}, {"extend": more}]
    return {
        "engine": {"loras": [{"path": str(lora), "strength": {"sample": 1.0}}]},
        "defaults": {"width": 128, "height": 128, "steps": 2, "cfg": 3.0, "guider": GUIDER},
        "upscale": {"steps": 2, "denoise": 0.5},
        "videos": [{"name": "one", "chunks": chunks, "sound": [{"generate": True}]}],
    }


def passes(bench: Bench) -> dict[str, Payload]:
    """The latents of picture and sound, of every pass."""
    made = (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE)
    for name in (name for name, task in bench.graph.tasks.items() if task.stage in made):
        bench.run(name)
    return {
        name: bench.payload(name)
        for name, task in bench.graph.tasks.items()
        if isinstance(task.params, PassParams)
    }


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_make_the_latents_of_one(
    make_bench: MakeBench, image: Path, tmp_path: Path, ranks: int
) -> None:
    """With guides, masks, STG and sound. Nothing can be reached from another machine."""
    spec = film(image, write_ic_lora(tmp_path / "ic.safetensors", TINY_CHECKPOINT, 1))
    alone = make_bench(spec)
    wanted = passes(alone)
    sizes = [task.params for task in alone.graph.tasks.values() if isinstance(task.params, PassParams)]
    gang = make_bench(spec, ranks=ranks, sizes=tuple(sizes))
    assert gang.report["unproven"] == ""
    found = passes(gang)
    assert {(*payload.arrays,) for payload in wanted.values()} == {("audio_latents", "latents")}
    require_equal(found, wanted)
    assert {address for pid in pids_of(gang) for address in listening(pid)} == {"0100007F"}


def require_equal_of_two(make_bench: MakeBench, spec: dict[str, Any], threads: int = 1) -> None:
    alone = make_bench(spec, threads=threads)
    sizes = [task.params for task in alone.graph.tasks.values() if isinstance(task.params, PassParams)]
    gang = make_bench(spec, ranks=2, sizes=tuple(sizes), threads=threads)
    assert gang.report["unproven"] == ""
    require_equal(passes(gang), passes(alone))


@pytest.mark.slow
def test_few_tokens_are_dealt_in_fours(make_bench: MakeBench) -> None:
    """26 of them, twelve and fourteen: functions on a CPU round the gates of those behind the last four
    otherwise."""
    chunk = {"generate": {"prompt": PROMPTS[0], "num_frames": 97}}
    spec = {
        "defaults": {"width": 64, "height": 32, "steps": 2, "cfg": 1.0},
        "videos": [{"name": "one", "chunks": [chunk], "sound": [{"generate": True}]}],
    }
    require_equal_of_two(make_bench, spec)


@pytest.mark.slow
@pytest.mark.parametrize(("side", "threads"), [(224, 1), (96, 2)])
def test_tokens_need_not_fill_a_kernel(make_bench: MakeBench, image: Path, side: int, threads: int) -> None:
    """On a CPU attention takes 98 of them 32 at a time, and sums the two that are left otherwise than those
    of a rank's last block. Of 18 a rank would have 10, too few for two threads.

    There are three forwards a step, so that tokens are dealt to all ranks.
    """
    first = {"image": str(image), "frame": 0, "strength": 0.7}
    chunk = {"generate": {"prompt": PROMPTS[0], "num_frames": 9, "images": [first]}}
    three = {"name": "stg", "params": {"blocks": [2], "audio_cfg": 3.0}}
    spec = {
        "defaults": {"width": side, "height": side, "steps": 2, "cfg": 3.0, "guider": three},
        "videos": [{"name": "one", "chunks": [chunk], "sound": [{"generate": True}]}],
    }
    require_equal_of_two(make_bench, spec, threads)
