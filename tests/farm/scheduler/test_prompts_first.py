"""Prompts before all else, where the text encoder has no room beside the other models of a worker."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from farm.scheduler.commands import Assign
from farm.scheduler.config import SchedulerConfig
from farm.scheduler.graph import ScheduledTask, ScheduleGraph, scheduled
from farm.scheduler.reasons import Why
from farm.simulator.simulate import Simulation, SimulationConfig
from farm.simulator.workload import SimulatedFilm, StageTimes, films, job
from jobs.errors import FailureKind
from jobs.loading.load import load_spec
from jobs.planning.params import EncodeText
from jobs.planning.plan import make_plan
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology

if TYPE_CHECKING:
    from farm.scheduler.commands import Command
    from farm.scheduler.events import Event

TIMES = StageTimes(2.0, 3.0, 1.0, 0.2, encode_s=0.3)


def order(topology: str, **config: Any) -> tuple[list[str], list[Why], float]:
    """Stages in the order in which tasks are handed out, why, and the makespan; 4 films of 6 chunks, whose
    prompts differ."""
    tasks = job(films(4, SimulatedFilm("film", 6, TIMES, frame_bytes=1000)))
    parsed = parse_topology(topology, Machine(2))
    run = Simulation(ScheduleGraph(tasks), parsed, SimulationConfig(scheduler=SchedulerConfig(**config)))
    stages: list[str] = []
    reasons: list[Why] = []

    def watch(_now: float, _event: Event, orders: list[Command]) -> None:
        given = [each for each in orders if isinstance(each, Assign)]
        stages.extend(each.task.rsplit("/", 1)[1] for each in given)
        reasons.extend(each.reason.why for each in given)

    run.watch = watch
    return stages, reasons, run.run().makespan_s


def returns(stages: list[str]) -> int:
    """How often a worker's text encoder would have to come back."""
    on_gpu = [stage for stage in stages if stage != "segment"]
    return sum(here != "encode" and after == "encode" for here, after in pairwise(on_gpu))


@pytest.mark.parametrize("budget", [None, 1500])
@pytest.mark.parametrize("swap_s", [{}, {"text encoder": 2.0, "transformer": 5.0, "vae": 1.0}])
def test_one_worker_encodes_every_prompt_first(budget: int | None, swap_s: dict[str, float]) -> None:
    """Whatever the byte budget says, and whether or not models are exchanged."""
    stages, reasons, _ = order("mono=1", budget_bytes=budget, swap_s=swap_s, prompts_first=True)
    assert stages[:24] == ["encode"] * 24
    assert returns(stages) == 0
    assert set(reasons[:24]) == {Why.PROMPTS}
    assert Why.PROMPTS not in reasons[24:]


def test_otherwise_prompts_are_encoded_when_they_are_needed() -> None:
    stages, reasons, makespan_s = order("mono=1")
    assert returns(stages) > 3
    assert Why.PROMPTS not in reasons
    assert order("mono=1", prompts_first=True)[2] == pytest.approx(makespan_s, rel=0.02)


@pytest.mark.parametrize("topology", ["mono=2", "encode+sample=1,upscale+decode=1"])
def test_every_worker_does(topology: str) -> None:
    """Of two, one may go on while the other has the last prompt."""
    stages, _, _ = order(topology, prompts_first=True)
    assert stages[:24] == ["encode"] * 24


def test_a_worker_for_prompts_alone_is_left_its_share() -> None:
    stages, reasons, _ = order("encode=1,sample+upscale+decode=1", prompts_first=True)
    assert Why.PROMPTS not in reasons
    assert stages.index("sample") < 24


def test_the_reason_says_how_many_are_ready(desk: Callable[..., Any]) -> None:
    told = desk(films_of_two_shots(), prompts_first=True)
    told.worker("w", Stage.ENCODE, Stage.SAMPLE, Stage.DECODE)
    told.done("a/encode")
    assert told.assigned() == [("b/encode", "w")]
    reason = str(told.given["b/encode"].reason)
    assert (
        reason == "prompts come first, as the text encoder has no room beside the other models: 1 are ready"
    )


def test_a_prompt_that_failed_comes_first_again_and_pictures_do_not(desk: Callable[..., Any]) -> None:
    tasks = [*films_of_two_shots(), ScheduledTask("image", Stage.ENCODE, video="c", duration_s=9.0)]
    told = desk(tasks, prompts_first=True)
    told.worker("w", Stage.ENCODE, Stage.SAMPLE, Stage.DECODE)
    told.failed("a/encode", FailureKind.OOM)
    assert told.assigned() == [("a/encode", "w")]
    told.done("a/encode")
    told.done("b/encode")
    assert "image" not in told.given or told.given["image"].reason.why is not Why.PROMPTS


def films_of_two_shots() -> list[ScheduledTask]:
    shots = ("a", "b")
    prompts = [
        ScheduledTask(f"{shot}/encode", Stage.ENCODE, video=shot, duration_s=0.3, prompt=True)
        for shot in shots
    ]
    samples = [
        ScheduledTask(f"{shot}/sample", Stage.SAMPLE, (f"{shot}/encode",), shot, duration_s=9.0)
        for shot in shots
    ]
    return [*prompts, *samples]


def test_of_a_job_prompts_alone_are_prompts(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "still.png")
    chunk = {"num_frames": 17, "prompt": "a clip", "first_image": str(tmp_path / "still.png")}
    document = {
        "version": 1,
        "name": "job",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [{"name": "clip", "chunks": [{"generate": chunk}]}],
    }
    tasks = build_graph(make_plan(load_spec(document).spec)).tasks.values()
    encodes = [task for task in tasks if task.stage is Stage.ENCODE]
    assert len(encodes) == 2
    for task in encodes:
        assert scheduled(task, 1.0).prompt is isinstance(task.params, EncodeText)
