"""Models that fit on a card in no other way have their blocks in host memory: the room and time it takes."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import pytest

from farm.doctor.device import check_fit
from farm.estimates.durations import Durations, Hardware, TaskTimes
from farm.estimates.known import HOST_GIB_PER_S, PROMPTS
from farm.options import RenderOptions
from farm.simulator.workload import SimulatedFilm, films, job
from farm.specs.load import load
from farm.topology.candidates import Footprint
from farm.topology.file_sizes import parts_in
from farm.topology.memory import RECORDED, engine_footprint
from farm.topology.model_sizes import STREAMED_SHARE
from farm.topology.search import SearchConfig, find_topology
from farm.verbs.plan import PlanRequest, plan_job
from jobs.errors import CapacityError
from jobs.planning.params import PassParams
from jobs.recipes.recipe import FOLDER
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine
from jobs.weights.header import read_weights
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER
from tests.farm.topology.test_memory import TWICE, tasks
from tests.farm.topology.test_search import MODELS, WITH_PROMPTS, WORKING
from tests.farm.topology.test_text_encoder_memory import ltx2_with_gemma
from tests.official.recipe_files import write_published
from tools.recipe_sizes import fields_by_name

BLOCK = re.compile(r"(?:transformer_blocks|layers|block)\.\d+\.")
PUBLISHED = {
    name: field
    for path in FOLDER.glob("*.yaml")
    for name, field in fields_by_name(path).items()
    if field in ("checkpoint", "diffusion_model", "text_encoder") and "with-proj" not in name
}
GIB = 2**30


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_what_stays_on_the_card_is_that_of_published_layouts(name: str, tmp_path: Path) -> None:
    """Of each transformer and text encoder at most the share that counts, and half of it at least."""
    path, field = write_published(tmp_path, name), PUBLISHED[name]
    model = TEXT_ENCODER if field == "text_encoder" else TRANSFORMER
    part = "text_encoder" if field == "text_encoder" else "transformer"
    folder = path / "text_encoder" if path.is_dir() else path
    blocks: dict[str, int] = {}
    for key, tensor in read_weights(folder).tensors.items():
        if found := BLOCK.search(key):
            blocks[found[0]] = blocks.get(found[0], 0) + prod(tensor.shape)
    whole = parts_in(path, field)[part].parameters  # type: ignore[index]
    left = whole - sum(blocks.values()) + max(blocks.values())
    assert STREAMED_SHARE[model] / 2 < left / whole <= STREAMED_SHARE[model]


@pytest.mark.parametrize(
    ("dtype", "device_gib", "streamed"),
    [
        ("bfloat16", 80.0, set()),
        ("bfloat16", 48.0, set()),
        ("bfloat16", 24.0, {TEXT_ENCODER, TRANSFORMER}),
        ("fp8", 24.0, {TEXT_ENCODER, TRANSFORMER}),
        ("fp8", 32.0, set()),
    ],
)
def test_a_model_is_streamed_where_a_stage_has_no_room_alone(
    dtype: str, device_gib: float, streamed: set[str], tmp_path: Path
) -> None:
    engine = ltx2_with_gemma(tmp_path, dtype=dtype)
    some = list(tasks(frames=121, upscale=TWICE))
    whole, found = (engine_footprint(engine, some, gib) for gib in (1000.0, device_gib))
    assert whole is not None
    assert found is not None
    assert set(found.streamed) == streamed
    for stage in (Stage.ENCODE, Stage.SAMPLE, Stage.UPSCALE):
        assert found.together_gib((stage,)) <= device_gib
        models, before = found.weights_gib[stage], whole.weights_gib[stage]
        for name in streamed & models.keys():
            assert models[name] < 0.4 * before[name]
    if streamed:
        assert RECORDED not in found.weights_gib[Stage.SAMPLE]
        (said, *_) = check_fit(found, frozenset(Stage))
        assert said.level == "warn"
        assert said.message.startswith("reading prompts and sampling bring their blocks over")


@pytest.mark.parametrize(("spare", "streamed"), [(0.01, set()), (-0.01, {TRANSFORMER})])
def test_recorded_forwards_go_before_a_model_is_streamed(
    spare: float, streamed: set[str], tmp_path: Path
) -> None:
    """A worker without room for them does without."""
    engine, some = ltx2_with_gemma(tmp_path, dtype="bfloat16"), list(tasks(frames=121))
    whole = engine_footprint(engine, some, 1000.0)
    assert whole is not None
    recorded_gib, with_them = whole.weights_gib[Stage.SAMPLE][RECORDED], whole.together_gib((Stage.SAMPLE,))
    assert recorded_gib > 0.5
    found = engine_footprint(engine, some, with_them - recorded_gib + spare)
    assert found is not None
    assert set(found.streamed) == streamed
    assert found.together_gib((Stage.SAMPLE,)) <= found.device_gib
    assert RECORDED not in found.weights_gib[Stage.SAMPLE]
    kept = engine_footprint(engine, some, with_them + 0.01)
    assert kept is not None
    assert RECORDED in kept.weights_gib[Stage.SAMPLE]


def test_a_stage_that_a_job_has_not_streams_nothing(tmp_path: Path) -> None:
    """In fp8 a second pass alone has no room on 24 GiB."""
    engine = ltx2_with_gemma(tmp_path, dtype="fp8")
    found = engine_footprint(engine, tasks(frames=121), 24.0)
    assert found is not None
    assert set(found.streamed) == {TEXT_ENCODER}


def test_cores_own_ways_are_said_and_not_reckoned(tmp_path: Path) -> None:
    engine, some = ltx2_with_gemma(tmp_path, "comfyui"), films(1, SimulatedFilm("v", 1, WITH_PROMPTS))
    found = engine_footprint(engine, tasks(frames=121), 24.0)
    assert found is not None
    assert not found.streamed
    with pytest.raises(CapacityError, match=r"alone needs .* ComfyUI's core may bring over what has no room"):
        find_topology(job(some), SearchConfig(Machine(1), found))
    failed = [finding.message for finding in check_fit(found, frozenset(Stage)) if finding.level == "fail"]
    assert failed
    assert all("ComfyUI's core may" in message for message in failed)


def test_gangs_are_not_made_of_workers_that_stream() -> None:
    """How fast all of them bring blocks over at once was not measured."""
    some = list(job(films(1, SimulatedFilm("v", 6, WITH_PROMPTS))))
    for streamed, gang in (({}, True), ({TEXT_ENCODER: 9.0}, True), ({TRANSFORMER: 26.0}, False)):
        footprint = Footprint(80.0, MODELS, WORKING, streamed=streamed)
        found = find_topology(some, SearchConfig(Machine(4), footprint, gangs=(2, 4)))
        assert bool(found.winner.topology.gangs) is gang, streamed


def test_blocks_take_their_time_for_each_forward() -> None:
    """Beside the computing, which a model of another size has in other times; measured, they are one."""
    engine = EngineConfig(name="diffusers", checkpoint="ltx-2.3-22b-distilled-1.1.safetensors")
    plain = Hardware(engine, "RTX 4090")
    place = Hardware(engine, "RTX 4090", {TRANSFORMER: 33.2, TEXT_ENCODER: 20.2})
    known = Durations()
    for task in tasks(frames=121, upscale=TWICE):
        more_s = known.estimate(place)(task) - known.estimate(plain)(task)
        if task.stage is Stage.ENCODE:
            assert more_s == pytest.approx(PROMPTS * 20.2 / HOST_GIB_PER_S)
        elif not isinstance(task.params, PassParams):
            assert more_s == 0.0
        else:
            sampling = task.params.sampling
            forwards = sampling.steps_run * (1 if sampling.cfg == 1.0 else 2)
            assert more_s == pytest.approx(forwards * 33.2 / HOST_GIB_PER_S)
            measured = task
    known.observe(place, measured, TaskTimes(300.0))
    assert known.estimate(place)(measured) == pytest.approx(300.0)
    assert known.estimate(plain)(measured) < 100.0


def film(recipe: str, dtype: str, tmp_path: Path, **engine: Any) -> dict[str, Any]:
    chunk = {"generate": {"prompt": "a harbor at dawn", "num_frames": 121}}
    return {
        "version": 3,
        "name": "film",
        "recipe": recipe,
        "engine": {"name": "diffusers", "dtype": dtype, **engine},
        "defaults": {"width": 768, "height": 512},
        "videos": [{"name": "film", "sound": [{"generate": True}], "chunks": [chunk]}],
        "output": {"dir": str(tmp_path / "out")},
    }


def test_a_plan_says_that_it_streams_and_takes_longer(tmp_path: Path) -> None:
    loaded = load(film("ltx-2.3-distilled", "bfloat16", tmp_path), RenderOptions(), ahead=True)
    said = (
        "reading prompts and sampling bring their blocks over from host memory one by one: slower, same "
        "film; each worker needs up to 53 GiB of host memory for them, which is not checked"
    )
    reports = {}
    for gib, topology in ((24.0, None), (48.0, None), (24.0, "mono=1")):
        request = PlanRequest(str(tmp_path / "runs"), device="RTX 4090", gpu_gib=gib, topology=topology)
        report = reports[gib, topology] = plan_job(loaded, request)
        assert report.memory.endswith(f"; {said}") is (gib == 24.0)
    assert reports[24.0, "mono=1"].memory.startswith("not checked, as the topology is given; reading")
    sampling = {row.stage: row.work_s for row in reports[24.0, None].stages}["sample"]
    whole = {row.stage: row.work_s for row in reports[48.0, None].stages}["sample"]
    assert sampling - whole == pytest.approx(8 * 33.25 / HOST_GIB_PER_S, rel=0.01)
    assert reports[24.0, None].makespan_s > reports[48.0, None].makespan_s
