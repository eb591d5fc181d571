"""On a CUDA device: steps are handed over without waiting, and overlapping changes no byte."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from actors.engines.base import Arriving
from actors.engines.diffusers.fused.fp8 import fault_of
from actors.engines.make import make_engine
from actors.payload import Payload, pack
from actors.steps.run import begin_stage, run_stage
from actors.steps.timing import StepTimer
from jobs.planning.plan import make_plan
from jobs.spec.engine import EngineConfig, Lora, PassStrengths
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER
from tests.actors.engines.diffusers.ltx_video.test_lora_passes import written

pytestmark = [
    pytest.mark.gpu,
    # torch calls the mode in which whatever waits for the device raises a prototype.
    pytest.mark.filterwarnings("ignore:Synchronization debug mode:UserWarning"),
]

CHUNKS = [
    {"generate": {"prompt": "a red ball", "num_frames": 25}},
    {"extend": {"prompt": "a blue ball bounces", "num_new_frames": 16, "overlap_frames": 16}},
    {"extend": {"prompt": "a red ball", "num_new_frames": 16, "overlap_strength": 0.5}},
]


@dataclass
class Film:
    """The tasks of a film on one engine, and what each made while the device was waited for."""

    engine: Any
    tasks: list[StageTask]
    made: dict[str, Payload] = field(default_factory=dict)

    def inputs(self, task: StageTask) -> dict[str, list[Payload]]:
        inputs: dict[str, list[Payload]] = {}
        for need in task.needs:
            inputs.setdefault(need.role, []).append(self.made[need.task])
        return inputs


@pytest.fixture(scope="module")
def film(small_ltx_video: Path) -> Iterator[Film]:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    spec = {
        "name": "film",
        "engine": {"checkpoint": str(small_ltx_video)},
        "defaults": {"width": 128, "height": 64, "steps": 4, "attention_mode": "default"},
        "upscale": {"steps": 2, "denoise": 0.5},
        "videos": [{"name": "film", "chunks": CHUNKS}],
    }
    graph = build_graph(make_plan(JobSpec.model_validate(spec, strict=False), None))
    tasks = [task for task in graph.tasks.values() if task.stage is not Stage.SEGMENT]
    film = rendered(EngineConfig(checkpoint=str(small_ltx_video)), tasks)
    yield film
    film.engine.close()


def rendered(config: EngineConfig, tasks: list[StageTask], streamed: Collection[str] = ()) -> Film:
    """Each task done, one after the other."""
    engine = make_engine(config, "cuda", 1, streamed)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    film = Film(engine, tasks)
    for task in tasks:
        made = run_stage(task, film.inputs(task), engine, Path())
        assert isinstance(made, Payload)
        film.made[task.id] = made
    return film


def computed(film: Film) -> list[StageTask]:
    return [task for task in film.tasks if task.stage is not Stage.ENCODE]


def test_no_step_waits_for_the_device(film: Film) -> None:
    waits = []
    for task in computed(film):
        inputs = film.inputs(task)
        torch.cuda.synchronize()
        torch.cuda.set_sync_debug_mode("error")
        try:
            made = begin_stage(task, inputs, film.engine, Path())
        except RuntimeError as error:
            waits.append((task.id, error))
            continue
        finally:
            torch.cuda.set_sync_debug_mode("default")
        assert isinstance(made, Arriving)
        made.land()
    if waits:
        raise AssertionError([task for task, _ in waits]) from waits[0][1]


def test_steps_that_overlap_make_the_bytes_of_steps_that_wait(film: Film) -> None:
    tasks = computed(film)
    made = [begin_stage(task, film.inputs(task), film.engine, Path()) for task in tasks]
    for task, arriving in zip(tasks, made, strict=True):
        assert isinstance(arriving, Arriving)
        assert pack(arriving.land()) == pack(film.made[task.id]), task.id


@pytest.mark.parametrize("dtype", ["auto", "fp8"])
def test_a_streamed_film_has_the_bytes_of_one_that_is_not(
    dtype: Literal["auto", "fp8"], film: Film, small_ltx_video: Path, tmp_path: Path
) -> None:
    """Blocks are on the device only while they compute; a LoRA goes from pass to pass."""
    if dtype == "fp8" and (fault := fault_of(torch.device("cuda"))):
        pytest.skip(fault)
    style = written(small_ltx_video, tmp_path / "style.safetensors", "attn1.to_v", "attn1.to_q")
    loras = (Lora(path=str(style), strength=PassStrengths(sample=0.3, upscale=0.8)),)
    config = EngineConfig(checkpoint=str(small_ltx_video), dtype=dtype, loras=loras)
    whole, apart = (rendered(config, film.tasks, names) for names in ((), (TEXT_ENCODER, TRANSFORMER)))
    for task in film.tasks:
        assert pack(apart.made[task.id]) == pack(whole.made[task.id]), task.id
    transformer = apart.engine._runner.residents.model("denoising").transformer
    assert transformer.device.type == "cuda"
    assert {weight.device.type for weight in transformer.transformer_blocks.parameters()} == {"cpu"}
    for made in (whole, apart):
        made.engine.close()


def test_the_time_of_a_step_is_the_devices(film: Film) -> None:
    """Of two steps begun at once the second takes no longer for having waited."""
    (task,) = [task for task in film.tasks if task.id == "film/00001/upscale"]
    alone = StepTimer("cuda")
    first = begin_stage(task, film.inputs(task), film.engine, Path())
    alone.stop()
    assert isinstance(first, Arriving)
    first.land()
    timers, arriving = [], []
    for _ in range(4):
        timers.append(StepTimer("cuda"))
        arriving.append(begin_stage(task, film.inputs(task), film.engine, Path()))
        timers[-1].stop()
    assert all(isinstance(one, Arriving) and one.land() for one in arriving)
    assert timers[-1].seconds() < 2.0 * alone.seconds()
