"""`farm plan`: its numbers come from the plan, the scheduler and what was measured."""

from __future__ import annotations

import json
import re
import struct
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from PIL import Image

from farm.cli.output import OutputFormat
from farm.cli.plan import _eta, _show
from farm.options import RenderOptions
from farm.specs.load import load
from farm.verbs.plan import PlanRequest, plan_job
from jobs.errors import UsageError
from tests.farm.cli.conftest import GENERATE, JOB, Farm, Rendered, document

if TYPE_CHECKING:
    from farm.verbs.plan_report import PlanReport

FAKE = {"encode_s": 0.1, "sample_s": 4.0, "decode_s": 1.0}


def planned(data: dict[str, Any], runs: Path, **request: object) -> PlanReport:
    return plan_job(load(data, RenderOptions()), PlanRequest(str(runs), **request))  # type: ignore[arg-type]


def test_time_of_one_worker_is_all_its_work(tmp_path: Path) -> None:
    """Two prompts encoded, four chunks sampled and decoded; segments go beside it on a CPU worker."""
    data = document(tmp_path / "out", engine={"name": "fake", "fake": FAKE})
    report = planned(data, tmp_path / "runs", gpu_hour_cost=2.0)
    assert report.makespan_s == pytest.approx(2 * 0.1 + 4 * 4.0 + 4 * 1.0, abs=0.1)
    assert report.options[0].gpu_hours == pytest.approx(report.makespan_s / 3600, rel=1e-3)
    assert report.options[0].cost == pytest.approx(report.makespan_s / 3600 * 2, abs=1e-4)
    assert [(row.stage, row.tasks, row.left) for row in report.stages] == [
        ("encode", 2, 2),
        ("sample", 4, 4),
        ("decode", 4, 4),
        ("segment", 4, 4),
    ]


def test_the_chain_bounds_what_many_gpus_can_do(tmp_path: Path) -> None:
    """Three chained samplings of 4 s and one decode: no topology is faster, and the best is not slower."""
    data = document(tmp_path / "out", engine={"name": "fake", "fake": FAKE})
    report = planned(data, tmp_path / "runs", gpus=8)
    assert 13.0 <= report.makespan_s < 13.0 * 1.05
    assert "chain" in report.reason
    assert all(row.makespan_s >= row.bound_s - 1e-3 for row in report.options)


def test_the_longest_chain_is_said_by_what_a_second_pass_shares(tmp_path: Path) -> None:
    """Chained, the longest chain is one sampling and all upscales; by stills, all samplings and one upscale.
    Either ends with a decode and a segment."""
    fake = {"sample_s": 4.0, "upscale_s": 5.0, "decode_s": 1.0}
    data = document(tmp_path / "out", engine={"name": "fake", "fake": fake}, upscale={})
    count = len([chunk for chunk in planned(data, tmp_path / "runs").chunks if chunk.video == "dawn"])
    found = planned(data, tmp_path / "runs").chain_s
    assert list(found) == ["overlap", "still"]
    assert found["overlap"] - found["still"] == pytest.approx(count - 1)
    assert planned(document(tmp_path / "out"), tmp_path / "runs").chain_s == {}


def test_the_longest_chain_is_said_with_and_without_held_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    held = [{"image": str(tmp_path / "a.png"), "frame": -1, "hold": True}]
    more = {"extend": {"prompt": "b", "num_new_frames": 16, "images": held, "repeat": 5}}
    data = document(tmp_path / "out", videos=[{"name": "dawn", "chunks": [GENERATE, more]}])
    report = planned(data, tmp_path / "runs")
    assert [(video.chain_chunks, video.chain_chunks_unheld) for video in report.videos] == [(2, 6)]
    assert [chunk.joint for chunk in report.chunks] == ["none", "overlap", "still", "still", "still", "still"]
    _show(report, None, OutputFormat.TEXT)
    assert "longest chain 2 chunks (6 without held images)" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("output", ["text", "json"])
def test_the_explicit_form_of_shots_is_printed_and_is_the_same_film(
    tmp_path: Path, farm: Farm, output: str
) -> None:
    shots = [{"name": "a", "seconds": 9, "prompt": "a", "beats": [{"at": 3, "prompt": "b"}]}]
    data = document(tmp_path / "out", videos=[{"name": "dawn", "shots": shots}])
    written, explicit = tmp_path / "film.yaml", tmp_path / "explicit.yaml"
    written.write_text(yaml.safe_dump(data))
    answer = farm("plan", written, "--explicit", "--output", output)
    assert answer.code == 0
    assert "shots" not in answer.out
    explicit.write_text(answer.out)
    one, other = (
        planned(yaml.safe_load(path.read_text()), tmp_path / "runs") for path in (written, explicit)
    )
    assert [row.seed for row in one.chunks] == [row.seed for row in other.chunks]
    assert one.videos == other.videos


def test_a_named_topology_is_the_only_option(tmp_path: Path) -> None:
    report = planned(document(tmp_path / "out"), tmp_path / "runs", gpus=2, topology="sample=1,decode=1")
    assert [row.topology for row in report.options] == ["sample=1,decode=1,segment=2"]
    with pytest.raises(UsageError, match="at most 2 GPU"):
        planned(document(tmp_path / "out"), tmp_path / "runs", gpus=2, topology="sample=3")


def test_a_byte_budget_is_part_of_the_plan(tmp_path: Path) -> None:
    """Two films at once on two GPUs; with room for one chunk, one film after the other."""
    videos = [{"name": name, "chunks": [GENERATE]} for name in ("dawn", "noon")]
    data = document(tmp_path / "out", engine={"name": "fake", "fake": FAKE}, videos=videos)
    at_once = planned(data, tmp_path / "runs", gpus=2, topology="mono=2")
    in_turn = planned(
        {**data, "run": {"payload_budget_gib": 1e-6}}, tmp_path / "runs", gpus=2, topology="mono=2"
    )
    assert at_once.makespan_s < 6.0
    assert in_turn.makespan_s > 10.0


def test_models_that_do_not_fit_together_are_split(tmp_path: Path) -> None:
    """Sparse files stand for the weights: 10 GiB of transformer, 9 of text encoder, 1 of VAE. On GPUs of 16
    the text encoder leaves once it has encoded prompts; on those of 12 not even the others fit together."""
    for name, gib in (("transformer.safetensors", 10), ("text.safetensors", 9), ("vae.safetensors", 1)):
        size = gib * 2**30
        header = json.dumps({"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
        with (tmp_path / name).open("wb") as file:
            file.write(struct.pack("<Q", len(header)) + header)
            file.truncate(8 + len(header) + size)
    engine = {
        "name": "comfyui",
        "diffusion_model": str(tmp_path / "transformer.safetensors"),
        "text_encoder": str(tmp_path / "text.safetensors"),
        "vae": str(tmp_path / "vae.safetensors"),
    }
    data = document(tmp_path / "out", engine=engine)
    for gpu_gib in (80.0, 16.0):
        large = planned(data, tmp_path / "runs", gpus=2, gpu_gib=gpu_gib)
        assert large.topology.startswith("mono=")
        assert not large.options[0].exchanges_models
    small = planned(data, tmp_path / "runs", gpus=2, gpu_gib=12.0)
    fitting = [row for row in small.options if not row.exchanges_models]
    assert fitting
    assert all("mono" not in row.topology for row in fitting)


def test_what_is_committed_is_not_planned_again(farm: Farm, rendered: Rendered) -> None:
    loaded = load(str(rendered.spec), RenderOptions())
    report = plan_job(loaded, PlanRequest(str(rendered.runs)))
    assert (report.makespan_s, report.options) == (0.0, ())
    assert "committed already" in report.reason
    assert report.times_from == "measured on cpu"
    farm("retry", JOB, "--videos", "dawn", "--chunks", "2", "--runs", rendered.runs)
    report = plan_job(loaded, PlanRequest(str(rendered.runs)))
    # Its own three tasks, and the frames before its seam once more: they were given up after use.
    assert {row.stage: row.left for row in report.stages} == {
        "encode": 0,
        "sample": 1,
        "decode": 2,
        "segment": 1,
    }


def test_an_edited_prompt_is_planned_with_what_follows_it(rendered: Rendered) -> None:
    data = yaml.safe_load(rendered.spec.read_text())
    data["videos"][0]["chunks"][1] = {
        "extend": {"prompt": "rain", "num_new_frames": 16, "overlap_frames": 16}
    }
    report = planned(data, rendered.runs)
    left = {row.stage: row.left for row in report.stages}
    assert (left["encode"], left["sample"]) == (1, 2)


def test_text_names_the_winner_and_its_price(farm: Farm, spec: Path, tmp_path: Path) -> None:
    words = ("plan", spec, "--gpus", 4, "--gpu-hour-cost", 2.5, "--runs", tmp_path / "runs")
    lines = farm(*words).out.splitlines()
    assert lines[0].split() == [
        "video", "chunk", "shot", "kind", "frames", "fade", "latents", "steps", "seed", "prompt",
    ]  # fmt: skip
    assert any(line.startswith("-> ") for line in lines)
    assert any(line.split()[-1:] == ["cost"] for line in lines)
    (eta,) = (line for line in lines if line.startswith("   ETA "))
    assert re.match(r"   ETA (\d{4}-\d\d-\d\d )?\d\d:\d\d", eta)
    assert not (tmp_path / "runs").exists()


def test_an_eta_of_another_day_has_its_date() -> None:
    noon_s = time.mktime((2026, 5, 1, 12, 0, 0, 0, 0, -1))
    assert _eta(noon_s, 90.0) == "12:01:30"
    assert _eta(noon_s, 20 * 3600.0) == "2026-05-02 08:00"


def test_long_plans_are_cut_short(farm: Farm, tmp_path: Path) -> None:
    extend = {"extend": {"prompt": "on", "num_new_frames": 16, "overlap_frames": 16, "repeat": 100}}
    data = document(tmp_path, videos=[{"name": "v", "chunks": [{"generate": {"prompt": "a"}}, extend]}])
    path = tmp_path / "long.yaml"
    path.write_text(yaml.safe_dump(data))
    short = farm("plan", path, "--runs", tmp_path / "runs").out
    assert "and 61 more chunks" in short
    assert len(farm("plan", path, "--all-chunks", "--runs", tmp_path / "runs").out.splitlines()) > 101


def test_it_says_whose_times_are_taken(tmp_path: Path) -> None:
    """Nothing is known of a device on which nothing was rendered."""
    ball = {"generate": {"prompt": "a red ball", "num_frames": 17}}
    videos = [{"name": "dawn", "chunks": [ball]}]
    data = document(tmp_path / "out", engine={"name": "diffusers"}, videos=videos)
    assert planned(data, tmp_path / "runs").times_from == "the bundled model on two idle cores"
    assert not planned(data, tmp_path / "runs").times_borrowed
    told = planned(data, tmp_path / "runs", device="toaster").times_from
    assert told.startswith("LTXV 2B on one H200, many times those of the bundled model; ")
    assert told.endswith("nothing of it was measured on toaster yet")
    real = document(tmp_path / "out", engine={"name": "diffusers", "checkpoint": "owner/model"})
    told = planned(real, tmp_path / "runs", device="H200").times_from
    assert "not known here (about 5 times as long for LTXV 13B and 6 times as long for LTX-2)" in told


def test_borrowed_times_are_said_beside_the_number(farm: Farm, tmp_path: Path) -> None:
    ball = {"generate": {"prompt": "a red ball", "num_frames": 17}}
    data = document(tmp_path / "out", engine={"name": "diffusers"}, videos=[{"name": "v", "chunks": [ball]}])
    path = tmp_path / "film.yaml"
    path.write_text(yaml.safe_dump(data))

    def winner(*words: object) -> str:
        lines = farm("plan", path, "--runs", tmp_path / "runs", *words).out.splitlines()
        return next(line for line in lines if line.startswith("-> "))

    assert "borrowed" not in winner("--device", "cpu")
    borrowed = " on borrowed stage times (LTXV 2B on one H200, many times those of the bundled model; "
    assert borrowed in winner("--device", "toaster")


def test_a_plan_that_is_stopped_does_not_promise_to_go_on(
    farm: Farm, spec: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("farm.verbs.plan.plan_job", stopped)
    answer = farm("plan", spec)
    assert (answer.code, answer.err) == (4, "stopped\n")


def test_models_of_unknown_size_are_not_held_against_a_gpu(tmp_path: Path) -> None:
    real = document(tmp_path / "out", engine={"name": "comfyui", "checkpoint": "m.safetensors"})
    report = planned(real, tmp_path / "runs", gpu_gib=24.0)
    assert report.memory == "model sizes unknown (m.safetensors), memory is not checked"


def test_a_job_id_that_render_refuses_is_refused(farm: Farm, spec: Path) -> None:
    answer = farm("plan", spec, "--job-id", "a/b")
    assert (answer.code, "job id: 'a/b'" in answer.err) == (2, True)


def test_a_cluster_larger_than_any_that_was_simulated_is_refused(farm: Farm, spec: Path) -> None:
    answer = farm("plan", spec, "--gpus", 100_000)
    assert (answer.code, "4096" in answer.err) == (2, True)


def test_a_long_chain_on_a_large_cluster_is_planned_in_seconds(tmp_path: Path) -> None:
    extend = {"extend": {"prompt": "b", "num_new_frames": 16, "overlap_frames": 16, "repeat": 20}}
    data = document(
        tmp_path / "out",
        engine={"name": "fake", "fake": {"sample_s": 9.8, "upscale_s": 12.3, "decode_s": 1.4}},
        videos=[{"name": "dawn", "chunks": [GENERATE, extend]}],
        upscale={},
    )
    started = time.perf_counter()
    report = planned(data, tmp_path / "runs", gpus=512)
    assert time.perf_counter() - started < 30
    assert report.options[0].gpus == 2


def test_the_rate_and_the_frames_of_temporal_rounds_are_the_films(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two chunks of 17 and 16 frames in the passes."""
    data = document(tmp_path / "out", upscale={"temporal": 4}, defaults={"frame_rate": 24, "cfg": 1.0})
    report = planned(data, tmp_path / "runs")
    _show(report, None, OutputFormat.TEXT)
    printed = capsys.readouterr().out
    film = report.videos[0]
    assert f"{film.video}: {film.frames} frames, {film.frames / 96:.1f} s at 96 fps (passes at 24)" in printed
    assert film.frames % 4 == 1
    assert [row.name for row in report.passes[-3:]] == ["upscale", "round 1", "round 2"]
    assert "round 2" in printed
    assert list(report.chain_s) == ["still"]
