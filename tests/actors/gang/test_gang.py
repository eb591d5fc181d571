"""A gang of processes on this machine gives the results of one process, and ends with any of its ranks."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from actors import ranks as ranks_module
from actors.ranks import Ranks
from farm.workers.workforce import _sizes
from jobs.errors import InvalidInput, WorkerLost
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.tasks.task import Stage
from jobs.weights.use import TRANSFORMER
from tests.actors.steps.test_retakes import made_clip
from tests.official.ic_lora import write_ic_lora
from tests.official.upsamplers import write_rational, write_temporal

if TYPE_CHECKING:
    from actors.payload import Payload
    from jobs.planning.params import PassParams
    from tests.actors.conftest import Bench, MakeBench

SAMPLE = "one/00000/sample"
SHARED = frozenset({Stage.ENCODE, Stage.SAMPLE})
STG = {"name": "stg", "params": {"blocks": [1], "rescale": 0.5}}
WITH_SOUND = {"name": "stg", "params": {"blocks": [1], "audio_cfg": 7.0, "modality": 3.0, "rescale": 0.7}}
PROMPTS = ("a red ball a red", "a ball a red ball")
"""Four words and more: for fewer rows, MKL sums in another order in a batch than for one prompt alone."""


def film(checkpoint: Path, image: Path, **video: Any) -> dict[str, Any]:
    """A Generate with an image in its middle, an Extend, and behind a cut a Generate without anything."""
    guide = {"image": str(image), "frame": 8, "strength": 0.7}
    chunks = [
        {"generate": {"prompt": PROMPTS[0], "num_frames": 17, "images": [guide]}},
        {"extend": {"prompt": PROMPTS[1], "num_new_frames": 8, "overlap_frames": 16}},
        {"generate": {"prompt": PROMPTS[0], "num_frames": 9}},
    ]
    guider = WITH_SOUND if video else STG
    return {
        "engine": {"checkpoint": str(checkpoint)},
        "defaults": {"width": 64, "height": 64, "steps": 2, "cfg": 3.0, "sampler": "euler", "guider": guider},
        "videos": [{"name": "one", "chunks": chunks, **video}],
    }


def sampled(bench: Bench) -> dict[str, Payload]:
    """The latents of each chunk."""
    for name, task in bench.graph.tasks.items():
        if task.stage in SHARED:
            bench.run(name)
    return {name: bench.payload(name) for name, t in bench.graph.tasks.items() if t.stage is Stage.SAMPLE}


def passes(bench: Bench) -> tuple[PassParams, ...]:
    """Those of the job's chunks."""
    tasks = bench.graph.tasks.values()
    return tuple(cast("PassParams", task.params) for task in tasks if task.stage is Stage.SAMPLE)


def require_equal(found: dict[str, Payload], wanted: dict[str, Payload]) -> None:
    for name, payload in wanted.items():
        for array in payload.arrays:
            np.testing.assert_array_equal(found[name][array], payload[array])


def listening(pid: int) -> set[str]:
    """The addresses at which a process takes connections, as the kernel writes them."""
    inodes = {
        str(fd.readlink()) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink() and fd.exists()
    }
    tables = [Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:] for name in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


def pids_of(bench: Bench) -> list[int]:
    """The processes of the gang's ranks."""
    assert bench.worker._gang is not None
    return [report.pid for report in bench.worker._gang.reports]


def test_two_ranks_make_the_latents_of_one(make_bench: MakeBench, small_ltx_video: Path, image: Path) -> None:
    """They prove it at their start. What both refuse ends neither: the gang goes on with the next task."""
    alone = make_bench(film(small_ltx_video, image))
    gang = make_bench(film(small_ltx_video, image), ranks=2, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    require_equal(sampled(gang), sampled(alone))
    assert {address for pid in pids_of(gang) for address in listening(pid)} == {"0100007F"}
    order = gang.order(SAMPLE, 2)
    bad = replace(passes(gang)[0], sampling=replace(passes(gang)[0].sampling, sampler="none"))
    with pytest.raises(InvalidInput, match="no sampler 'none'"):
        gang.worker.run(replace(order, task=replace(order.task, params=bad)))
    assert gang.run(SAMPLE, 3)


def test_ranks_that_stream_make_the_latents_of_one(
    make_bench: MakeBench, small_ltx_video: Path, image: Path
) -> None:
    """Each brings the blocks of its own over; the proof, too, runs in them."""
    alone = make_bench(film(small_ltx_video, image))
    gang = make_bench(
        film(small_ltx_video, image), ranks=2, sizes=passes(alone), streamed=frozenset({TRANSFORMER})
    )
    assert gang.report["unproven"] == ""
    require_equal(sampled(gang), sampled(alone))


@pytest.mark.slow
@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_picture_and_sound(
    make_bench: MakeBench, small_ltx2: Path, image: Path, ranks: int
) -> None:
    spec = film(small_ltx2, image, sound=[{"generate": True}])
    alone = make_bench(spec)
    gang = make_bench(spec, ranks=ranks, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    wanted = sampled(alone)
    assert "audio_latents" in wanted[SAMPLE]
    require_equal(sampled(gang), wanted)


@pytest.mark.slow
def test_ranks_share_a_pass_that_looks_at_references(
    make_bench: MakeBench, small_ltx2: Path, image: Path, tmp_path: Path
) -> None:
    """Tokens of the clip and of its references are split alike, with and without weights between them."""
    sheet = {"image": str(image), "strength": 0.9}
    chunks = [
        {"generate": {"prompt": PROMPTS[0], "num_frames": 17, "references": [sheet | {"attention": weight}]}}
        for weight in (1.0, 0.5)
    ]
    spec = film(small_ltx2, image) | {"videos": [{"name": "one", "chunks": chunks}]}
    lora = write_ic_lora(tmp_path / "ic.safetensors", small_ltx2, 2)
    spec["engine"]["loras"] = [{"path": str(lora), "strength": {"sample": 1.0}}]
    alone = make_bench(spec)
    gang = make_bench(spec, ranks=2, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    wanted = sampled(alone)
    assert not np.array_equal(wanted[SAMPLE]["latents"], wanted["one/00001/sample"]["latents"])
    require_equal(sampled(gang), wanted)


@pytest.mark.slow
def test_ranks_merge_the_loras_of_a_shot(
    make_bench: MakeBench, small_ltx2: Path, image: Path, tmp_path: Path
) -> None:
    """Of each shot, before they share its pass."""
    lora = {"path": str(write_ic_lora(tmp_path / "anna.safetensors", small_ltx2, 1))}
    looks = {"prompt": PROMPTS[0], "num_frames": 17, "seed": 3, "references": [{"image": str(image)}]}
    chunks = [{"generate": looks | {"loras": [lora | {"strength": weight}]}} for weight in (0.8, 0.2, 0.4)]
    spec = film(small_ltx2, image) | {"videos": [{"name": "one", "chunks": chunks}]}
    alone = make_bench(spec)
    gang = make_bench(spec, ranks=2, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    wanted = sampled(alone)
    assert len({payload["latents"].tobytes() for payload in wanted.values()}) == 3
    require_equal(sampled(gang), wanted)


@pytest.mark.slow
def test_ranks_share_a_retake(make_bench: MakeBench, small_ltx2: Path, image: Path, tmp_path: Path) -> None:
    """Of whose tokens some are held and some are made, so that each has a timestep of its own."""
    path = made_clip(tmp_path / "clip.mkv", frames=41)
    parts = [
        {"start": 9, "stop": 17, "prompt": PROMPTS[0]},
        {"start": 33, "stop": 41, "prompt": PROMPTS[1], "picture": False},
    ]
    video = {"source": {"video": path}, "retakes": parts, "sound": [{"generate": True}]}
    spec = film(small_ltx2, image, **video)
    del spec["videos"][0]["chunks"]
    facts = SourceFacts(videos={path: VideoFact(41, 64, 32, 24.0, sound_start_s=0.0)})
    spec["defaults"]["frame_rate"] = 24.0
    alone = make_bench(spec, facts)
    gang = make_bench(spec, facts, ranks=2, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    wanted = sampled(alone)
    assert len(wanted) == 2
    require_equal(sampled(gang), wanted)


@pytest.mark.slow
def test_ranks_share_the_tiles_of_a_temporal_round(
    make_bench: MakeBench, small_ltx2: Path, tmp_path: Path
) -> None:
    """And the passes before it, with their keyframe slots; a canvas is made by each rank."""
    spec = {
        "engine": {
            "checkpoint": str(small_ltx2),
            "upscale_model": str(write_rational(tmp_path / "space.safetensors", 4)),
            "temporal_upscale_model": str(write_temporal(tmp_path / "time.safetensors")),
        },
        "defaults": {"width": 128, "height": 128, "steps": 2, "cfg": 1.0, "frame_rate": 24},
        "upscale": {"temporal": 2, "steps": 1, "cfg": 1.0},
        "videos": [{"name": "one", "chunks": [{"generate": {"prompt": PROMPTS[0], "num_frames": 49}}]}],
    }
    alone = make_bench(spec)
    sizes = _sizes(alone.graph)
    assert [type(run).__name__ for run in sizes] == ["PassParams", "PassParams", "TileParams", "TileParams"]
    gang = make_bench(spec, ranks=2, sizes=sizes)
    assert gang.report["unproven"] == ""
    made = []
    for bench in (gang, alone):
        latents = [name for name, task in bench.graph.tasks.items() if task.stage in (*SHARED, Stage.UPSCALE)]
        for name in latents:
            bench.run(name)
        made.append({name: bench.payload(name) for name in latents})
    assert "one/00000.r1-t1/upscale" in made[0]
    require_equal(*made)


@pytest.mark.slow
def test_tokens_may_end_in_the_middle_of_a_block(
    make_bench: MakeBench, small_ltx_video: Path, image: Path
) -> None:
    """98 of them: attention on a CPU takes 32 at a time, and sums two that are left otherwise than those of a
    rank's last block."""
    spec = film(small_ltx_video, image)
    spec["defaults"] |= {"width": 224, "height": 224}
    spec["videos"][0]["chunks"] = spec["videos"][0]["chunks"][2:]
    alone = make_bench(spec)
    gang = make_bench(spec, ranks=2, sizes=passes(alone))
    assert gang.report["unproven"] == ""
    require_equal(sampled(gang), sampled(alone))


@pytest.mark.slow
def test_more_ranks_than_forwards(make_bench: MakeBench, small_ltx_video: Path, image: Path) -> None:
    spec = film(small_ltx_video, image)
    require_equal(sampled(make_bench(spec, ranks=4)), sampled(make_bench(spec)))


SLOW = {
    "engine": {"name": "fake", "fake": {"sample_s": 2.0}},
    "videos": [{"name": "one", "chunks": [{"generate": {"prompt": "a", "num_frames": 9}}]}],
}


def begun(bench: Bench) -> tuple[threading.Thread, list[BaseException]]:
    """The sampling under way in a thread, and what it raises."""
    bench.run_before(SAMPLE)
    raised: list[BaseException] = []

    def work() -> None:
        try:
            bench.run(SAMPLE)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    time.sleep(0.2)
    return thread, raised


def test_a_rank_that_is_killed_ends_the_worker_and_is_named(make_bench: MakeBench) -> None:
    bench = make_bench(SLOW, ranks=2)
    thread, raised = begun(bench)
    os.kill(pids_of(bench)[1], signal.SIGKILL)
    thread.join(1.3)
    (error,) = raised
    assert isinstance(error, WorkerLost)
    assert error.worker_gone
    assert "rank 1 of 2" in str(error)
    assert "SIGKILL" in str(error)
    with pytest.raises(WorkerLost, match="SIGKILL"):
        bench.run(SAMPLE, attempt=2)


@pytest.mark.long
def test_ranks_that_do_not_reach_each_other_end_the_gang(
    make_bench: MakeBench, small_ltx_video: Path, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NCCL may wait for ever where the way between two GPUs is broken."""

    def never(*_: object) -> None:
        threading.Event().wait()

    monkeypatch.setattr(Ranks, "_grouped", never)
    monkeypatch.setattr(ranks_module, "MEETING_S", 0.2)
    with pytest.raises(WorkerLost, match=r"did not reach each other within 0\.2 s"):
        make_bench(film(small_ltx_video, image), ranks=2)


def test_ranks_end_with_the_first_one_even_where_they_are_stopped(make_bench: MakeBench) -> None:
    bench = make_bench(SLOW, ranks=2)
    _, pid = pids_of(bench)
    os.kill(pid, signal.SIGSTOP)
    bench.worker.destroy()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
