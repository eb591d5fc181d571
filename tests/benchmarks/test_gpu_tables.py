"""The GPU benchmark's own parts: tables that survive a killed run, checkpoints of the right size."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.__main__ import ITEMS
from benchmarks.gpu.bench import REAL, Bench, markdown, results_file
from benchmarks.gpu.film_item import distilled
from benchmarks.gpu.films import Film, Rendered, stage_of
from benchmarks.gpu.idle_item import Gap, Kernel, gaps_of
from benchmarks.gpu.memory.out_of_memory import smallest
from benchmarks.gpu.memory.two_workers import compared
from benchmarks.gpu.peers.clip import Clip as FinalClip
from benchmarks.gpu.several.multi_items import best_split
from benchmarks.gpu.watch import EventClock, Watch, seconds, visible
from benchmarks.gpu.weights import layout, make, pixels_beside, upsampler_beside, upsampler_layout, write


def _bench(folder: Path, item: str = "item") -> Bench:
    return Bench(item, folder, "rehearsal", "cpu", folder / "scratch", "")


def test_a_table_is_kept_at_once_and_a_later_one_replaces_it(tmp_path: Path) -> None:
    bench = _bench(tmp_path)
    bench.table("Speed", [{"a": 1.23456, "b": True}])
    bench.table("Speed", [{"a": 2.0, "b": False}])
    assert len(results_file(tmp_path).read_text().splitlines()) == 2
    page = (tmp_path / "gpu.md").read_text()
    assert page.count("## Speed") == 1
    assert "| 2 | False |" in page
    assert "cpu" in page


def test_columns_are_those_of_all_rows() -> None:
    assert markdown("T", [{"a": 1}, {"b": "x|y"}])[2:] == [
        "| a | b |",
        "| --- | --- |",
        "| 1 |  |",
        "|  | x/y |",
    ]


def test_gaps_are_what_no_kernel_covers() -> None:
    kernels = [
        Kernel("long", 0, 10),
        Kernel("within", 2, 5),
        Kernel("touches", 10, 12),
        Kernel("late", 15, 16),
    ]
    assert gaps_of(kernels) == [Gap("touches", "late", 3)]


def test_the_smallest_limit_that_fits_is_found_by_halving() -> None:
    found = smallest(lambda gib: gib >= 16.9, 7.0, 28.0, margin=0.25)
    assert 16.9 <= found <= 17.15


@pytest.mark.parametrize(("size", "billions"), [("2b", 1.92), ("13b", 13.04)])
def test_small_ltx_videos_have_the_size_of_the_model(size: str, billions: float) -> None:
    made = layout(size)
    prefix = "model.diffusion_model."
    counted = sum(_product(shape) for name, shape in made.shapes.items() if name.startswith(prefix))
    assert counted / 1e9 == pytest.approx(billions, abs=0.01)


def test_a_small_ltx_video_loads_like_any_other(tmp_path: Path) -> None:
    import torch

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_upsampler, load_vae

    path = tmp_path / "small.safetensors"
    write(path, layout("rehearsal"), "cpu")
    write(upsampler_beside(path), upsampler_layout("rehearsal"), "cpu")
    opened = Checkpoint.open(path)
    transformer = load_transformer(opened, torch.float32)
    weight = transformer.transformer_blocks[0].attn1.to_q.weight
    assert float(weight.std()) == pytest.approx(weight.shape[1] ** -0.5, rel=0.1)
    assert load_vae(opened).latents_std.unique().tolist() == [1.0]
    assert load_upsampler(Checkpoint.open(upsampler_beside(path))) is not None


@pytest.mark.parametrize(("size", "billions"), [("ltx2.3", 18.99), ("ltx2.5", 18.99)])
def test_ltx_2_has_the_size_of_the_model(size: str, billions: float) -> None:
    prefix = "model.diffusion_model."
    counted = sum(_product(shape) for name, shape in layout(size).shapes.items() if name.startswith(prefix))
    assert counted / 1e9 == pytest.approx(billions, abs=0.02)


def test_a_small_ltx_2_loads_like_any_other(tmp_path: Path) -> None:
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    path = tmp_path / "small.safetensors"
    write(path, layout("ltx2-rehearsal"), "cpu")
    engine = make_engine(EngineConfig(checkpoint=str(path)), "cpu", 1)
    engine.setup(frozenset({Stage.ENCODE, Stage.SAMPLE, Stage.DECODE}))
    engine.close()


def test_a_small_ltx_2_5_loads_with_either_decoder(tmp_path: Path) -> None:
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    path = tmp_path / "small.safetensors"
    make("ltx2.5-rehearsal", path, "cpu")
    for vae in (None, str(pixels_beside(path))):
        engine = make_engine(EngineConfig(checkpoint=str(path), vae=vae), "cpu", 1)
        engine.setup(frozenset({Stage.DECODE}))
        engine.close()


def test_a_checkpoint_is_the_same_file_each_time(tmp_path: Path) -> None:
    """Several threads write it."""
    for name in ("one", "two"):
        write(tmp_path / name, layout("ltx2-rehearsal"), "cpu")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_film_of_several_shots_is_a_valid_spec(tmp_path: Path) -> None:
    from jobs.spec.job import JobSpec

    film = distilled("film", {"name": "fake"}, FinalClip(1920, 1088, 121), shots=10)
    (video,) = JobSpec.model_validate(film.document(tmp_path)).videos
    assert len(video.chunks) == 10


def test_two_workers_make_the_same_bytes(tmp_path: Path) -> None:
    from benchmarks.gpu.decode_items import STAGES, engine_settings
    from benchmarks.gpu.films import open_engine

    bench = _bench(tmp_path)
    film = distilled("film", engine_settings(bench, "2b"), FinalClip(64, 64, 17))
    film = replace(film, sound=False)
    engine = open_engine(bench, film.engine, STAGES)
    rows, together = compared(bench, film, engine, 1.0)
    assert together
    assert [row["equal"] for row in rows] == [True] * 4


def test_a_film_is_a_valid_spec(tmp_path: Path) -> None:
    from jobs.spec.job import JobSpec

    film = Film("film", {"name": "fake"}, REAL, videos=4, extends=4)
    assert film.chunks == 20
    spec = JobSpec.model_validate(film.document(tmp_path))
    assert len(spec.videos) == 4


def test_steady_state_lies_between_the_first_decode_and_the_last_model_step() -> None:
    made = Rendered(
        finished={"f/00000/decode": 2.0, "f/00001/sample": 5.0, "f/00001/decode": 7.0, "encode/text-1": 0.5},
        seconds={"f/00000/decode": 1.0, "f/00001/decode": 1.5, "encode/text-1": 0.1},
    )
    assert made.steady() == (2.0, 5.0)
    assert made.stage("decode") == [1.0, 1.5]
    assert stage_of("encode/text-1") == "encode"


def test_what_watches_the_device_answers_on_a_cpu() -> None:
    clock = EventClock("cpu")
    with Watch("cpu", count=2) as watch:
        clock.around(lambda: seconds(lambda: sum(range(1000)), "cpu"))
        while not all(watch.samples):
            pass
    assert clock.total_s() > 0
    assert watch.peak_gib > 0


def test_every_item_has_an_estimate_and_all_fit_four_leases() -> None:
    assert json.dumps(sorted(ITEMS))
    assert all(item.estimate_s > 0 for item in ITEMS.values())
    assert sum(item.estimate_s for item in ITEMS.values()) < 4 * 30 * 60


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def test_samples_are_of_the_devices_that_cuda_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible(2) == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert visible(2) == ["1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-b, GPU-a")
    assert visible(2) == ["GPU-b", "GPU-a"]


def test_the_best_split_halves_the_work() -> None:
    from farm.simulator.workload import SimulatedFilm as Work
    from farm.simulator.workload import StageTimes

    tasks = list(Work("film", 8, StageTimes(1.0, 3.0, 2.0), joint="overlap").tasks())
    assert best_split(tasks, 2) in ("encode+sample+decode=1,upscale=1", "sample+decode=1,upscale=1")


@pytest.mark.parametrize(("codes", "expected"), [({}, 0), ({"ffn": 1}, 1)])
def test_an_item_that_fails_is_told_by_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codes: dict[str, int], expected: int
) -> None:
    ran: list[str] = []

    def run_child(name: str, _limit_s: float) -> int:
        ran.append(name)
        return codes.get(name, 0)

    monkeypatch.setattr(gpu, "_run_child", run_child)
    monkeypatch.setattr("sys.argv", ["gpu", "--out", str(tmp_path), "--only", "ffn", "decode"])
    assert gpu.main() == expected
    assert ran == ["ffn", "decode"]
