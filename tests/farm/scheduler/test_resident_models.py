"""Workers that cannot hold all their models: what exchanging one costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from farm.scheduler import events
from farm.scheduler.config import SchedulerConfig
from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.scheduler.reasons import Why
from farm.simulator.simulate import SimulationConfig, simulate
from farm.simulator.workload import SimulatedFilm, StageTimes, films, job
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology


def test_a_worker_that_must_exchange_models_stays_with_the_one_it_holds() -> None:
    some = films(40, SimulatedFilm("v", 1, StageTimes(1.0, 0.0, 1.0)))
    graph = ScheduleGraph(job(some))
    topology = parse_topology("mono=1", Machine(1))
    swap_s = {"transformer": 5.0, "vae": 5.0}
    config = SimulationConfig(scheduler=SchedulerConfig(swap_s=swap_s))
    timeline = simulate(graph, topology, config)
    assert timeline.makespan_s < 80 + 30 * 5.0


def test_a_worker_whose_passes_have_other_loras_goes_from_one_to_the_other_once() -> None:
    """What needs no transformer is done in between, and is no reason to change."""
    passes = {Stage.SAMPLE: "sample", Stage.UPSCALE: "upscale"}
    tasks = job(films(2, SimulatedFilm("v", 6, StageTimes(10.0, 5.0, 1.0))))
    graph = ScheduleGraph(replace(task, resident=passes.get(task.stage, "")) for task in tasks)
    swap_s = dict.fromkeys(passes.values(), 20.0)
    config = SimulationConfig(scheduler=SchedulerConfig(swap_s=swap_s))
    timeline = simulate(graph, parse_topology("mono=1", Machine(1)), config)
    assert timeline.makespan_s < 12 * 16.0 + 2 * 20.0 + 5.0


@pytest.mark.parametrize(("held", "chosen"), [("vae", "decode"), ("transformer", "sample")])
def test_loading_a_model_costs_a_path_only_where_the_worker_lacks_it(
    desk: Callable[..., Any], held: str, chosen: str
) -> None:
    told = desk(
        [
            ScheduledTask("decode", Stage.DECODE, video="v", duration_s=1.0, resident="vae"),
            ScheduledTask("sample", Stage.SAMPLE, video="w", duration_s=3.0, resident="transformer"),
            ScheduledTask("end", Stage.DECODE, ("sample",), "w", duration_s=1.0, resident="vae"),
        ],
        swap_s={"vae": 5.0, "transformer": 3.5},
    )
    told.tell(events.Pause())
    for name in "ab":
        told.worker(name, Stage.SAMPLE, Stage.DECODE)
    board, policy = told.scheduler.board, told.scheduler.policy
    choice = policy.choose(board.roster.groups[0], board.graph.residents.index(held))
    assert board.graph.ids[choice.task] == chosen
    assert choice.reason.why is Why.CRITICAL
