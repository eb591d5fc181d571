"""Which tasks run with which LoRAs, in words, and what going from one set to another costs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm.topology.lora_sets import MERGED_GIB_PER_S, LoraSets, lora_sets
from farm.verbs.plan import PlanRequest, plan_job
from jobs.loading.load import LoadedSpec
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from tests.official.ltx2_files import write_single_file

ANNA, BEN = "anna.safetensors", "ben.safetensors"


def film(*sets: list[dict[str, Any]], **engine: Any) -> JobSpec:
    shots = [
        {"name": f"s{at}", "seconds": 1.0, "prompt": "noon", "loras": own} for at, own in enumerate(sets)
    ]
    videos = [{"name": "dawn", "shots": shots}]
    return JobSpec.model_validate({"name": "x", "engine": engine, "upscale": {}, "videos": videos})


def sets_of(spec: JobSpec) -> tuple[LoraSets, dict[str, str]]:
    """The sets, and that of each pass."""
    tasks = build_graph(make_plan(spec)).tasks
    found = lora_sets(spec.engine, tasks.values())
    return found, {name: found.of(task) for name, task in tasks.items() if found.of(task)}


def one(path: str, strength: Any = 1.0) -> list[dict[str, Any]]:
    return [{"path": path, "strength": strength}]


def test_sets_in_words() -> None:
    found, words = sets_of(
        film([], one(ANNA, 0.8), one(BEN, {"sample": 0.5}), loras=one("style.safetensors"))
    )
    assert words == {
        "dawn/00000/sample": "style.safetensors 1.0",
        "dawn/00000/upscale": "style.safetensors 1.0",
        "dawn/00001/sample": "style.safetensors 1.0, anna.safetensors 0.8",
        "dawn/00001/upscale": "style.safetensors 1.0, anna.safetensors 0.8",
        "dawn/00002/sample": "style.safetensors 1.0, ben.safetensors 0.5",
        "dawn/00002/upscale": "style.safetensors 1.0",
    }
    assert set(found.swap_s) == set(words.values())
    assert set(found.swap_s.values()) == {found.merge_s} != {0.0}


def test_one_that_a_shot_leaves_out() -> None:
    _, words = sets_of(film(one(ANNA, 0.0), one(BEN, 0.0), loras=one(ANNA)))
    assert words["dawn/00000/sample"] == "no LoRA"
    assert words["dawn/00001/sample"] == "anna.safetensors 1.0"


def test_files_of_one_name() -> None:
    _, words = sets_of(film(one("/a/anna.safetensors"), one("/b/anna.safetensors")))
    assert words["dawn/00001/sample"] == "/b/anna.safetensors 1.0"


def test_passes_that_differ_in_strength() -> None:
    _, words = sets_of(film([], loras=one(ANNA, {"upscale": 0.5})))
    assert words == {"dawn/00000/sample": "no LoRA", "dawn/00000/upscale": "anna.safetensors 0.5"}


@pytest.mark.parametrize(
    "spec",
    [
        film([], []),
        film(one(ANNA), one(ANNA)),
        film([], [], loras=one(ANNA, 0.8)),
        film(one(ANNA), [], name="fake"),
        film(one(ANNA), [], checkpoint="/nowhere/ltx.safetensors"),
    ],
)
def test_nothing_to_change(spec: JobSpec) -> None:
    """One set for all, an engine that merges none, and a model whose size nobody knows here."""
    found, words = sets_of(spec)
    assert (found.swap_s, words) == ({}, {})


def request(folder: Path, topology: str) -> PlanRequest:
    return PlanRequest(str(folder / "runs"), gpus=2, device="H200", topology=topology)


def test_the_plan_says_what_changing_costs(tmp_path: Path) -> None:
    """One worker goes from each set to the next once; with two there is one for each."""
    model = write_single_file(tmp_path / "ltx-2.3.safetensors", "2.3")
    spec = film(one(ANNA), one(BEN), one(ANNA), one(BEN), checkpoint=str(model), text_encoder="owner/gemma")
    report = plan_job(LoadedSpec(spec), request(tmp_path, "mono=1"))
    assert report.loras is not None
    assert [(row.loras, row.shots) for row in report.loras.sets] == [
        ("anna.safetensors 1.0", 2),
        ("ben.safetensors 1.0", 2),
    ]
    merge_s = model.stat().st_size / 2**30 / MERGED_GIB_PER_S
    assert report.loras.changes == 1
    assert report.loras.changing_s == pytest.approx(merge_s, abs=0.01)
    first, second = report.loras.said
    assert first == "LoRAs: anna.safetensors 1.0 in 2 shots; ben.safetensors 1.0 in 2 shots"
    assert second == f"another set is merged in {merge_s:.1f} s: 1 time, {merge_s:.1f} s of the workers' time"
    both = plan_job(LoadedSpec(spec), request(tmp_path, "mono=2"))
    assert both.loras is not None
    assert both.loras.changes == 0
    assert report.makespan_s > 2 * both.makespan_s


def test_takes_are_no_further_shots(tmp_path: Path) -> None:
    data = film(one(ANNA), []).model_dump(exclude_unset=True)
    data["videos"][0]["shots"][0]["takes"] = 3
    report = plan_job(LoadedSpec(JobSpec.model_validate(data)), request(tmp_path, "mono=1"))
    assert report.loras is not None
    assert [row.shots for row in report.loras.sets] == [1, 1]


def test_retakes_are_no_shots(tmp_path: Path) -> None:
    parts = [{"start": 16, "stop": 24, "prompt": "fog", "loras": one(ANNA)}, {"start": 64, "stop": 72}]
    video = {"name": "dawn", "source": {"video": "shot.mp4"}, "retakes": parts}
    defaults = {"width": 256, "height": 128, "prompt": "noon"}
    spec = JobSpec.model_validate({"name": "x", "defaults": defaults, "videos": [video]})
    facts = SourceFacts(videos={"shot.mp4": VideoFact(97, 256, 128, 25.0)})
    report = plan_job(LoadedSpec(spec, facts), request(tmp_path, "mono=1"))
    assert report.loras is not None
    assert next(report.loras.said) == "LoRAs: anna.safetensors 1.0 in 1 retake; no LoRA in 1 retake"


def test_a_plan_of_one_set_says_nothing(tmp_path: Path) -> None:
    report = plan_job(LoadedSpec(film([], [])), PlanRequest(str(tmp_path / "runs")))
    assert report.loras is None
