"""The bound: goldens, and that no schedule beats it."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from farm.scheduler.graph import ScheduledTask, ScheduleGraph
from farm.simulator.simulate import simulate
from farm.simulator.workload import SLEEPS, SimulatedFilm, StageTimes, films, job
from farm.topology.bound import job_facts
from jobs.errors import CapacityError
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine, parse_topology

if TYPE_CHECKING:
    from jobs.frames import Joint

TWO_SAMPLERS = parse_topology("sample=2,upscale=1,decode=1", Machine(4))


@pytest.mark.parametrize(
    ("some", "seconds", "cause"),
    [
        (films(32, SimulatedFilm("v", 1, SLEEPS)), 6.9, "the workers of decode"),
        (films(4, SimulatedFilm("v", 8, SLEEPS)), 6.9, "the workers of decode"),
        ([SimulatedFilm("v", 12, SLEEPS)], 5.1, "the chain that ends in v/00011/decode"),
    ],
    ids=["32x1", "4x8", "1x12"],
)
def test_goldens(some: list[SimulatedFilm], seconds: float, cause: str) -> None:
    bound = job_facts(job(some)).bound(TWO_SAMPLERS)
    assert bound.seconds == pytest.approx(seconds)
    assert cause in str(bound)


def test_four_monoliths_share_all_work() -> None:
    bound = job_facts(job(films(4, SimulatedFilm("v", 8, SLEEPS)))).bound(
        parse_topology("mono=4", Machine(4))
    )
    assert bound.seconds == pytest.approx(5.6)


def test_a_stage_that_nobody_hosts_is_refused() -> None:
    with pytest.raises(CapacityError, match="needs upscale"):
        job_facts(job([SimulatedFilm("v", 1, SLEEPS)])).bound(parse_topology("sample=1,decode=1", Machine(2)))


def test_pools_that_share_a_stage_are_bounded_together() -> None:
    """Three samples of 1 s on a sampler, then three decodes on it and on a decoder: 6 s of work for two."""
    tasks = [ScheduledTask(f"s{n}", Stage.SAMPLE) for n in range(3)]
    tasks += [ScheduledTask(f"d{n}", Stage.DECODE, (f"s{n}",)) for n in range(3)]
    assert job_facts(tasks).bound(parse_topology("sample+decode=1,decode=1", Machine(2))).seconds == 4.0


JOINTS: tuple[Joint, ...] = ("overlap", "still", "none")


def test_no_schedule_beats_the_bound() -> None:
    for seed in range(200):
        dice = random.Random(seed)
        times = StageTimes(*(round(dice.uniform(0.1, 2.0), 2) for _ in range(5)))
        some = [
            SimulatedFilm(f"v{v}", dice.randint(1, 9), times, dice.random() < 0.7, dice.choice(JOINTS))
            for v in range(dice.randint(1, 6))
        ]
        counts = {name: dice.randint(1, 3) for name in "abc"}
        text = dice.choice(["mono={a}", "sample={a},upscale={b},decode={c}", "mono={a},decode={b}"])
        topology = parse_topology(text.format(**counts), Machine(20, 2))
        tasks = list(job(some))
        makespan_s = simulate(ScheduleGraph(tasks), topology).makespan_s
        assert makespan_s >= job_facts(tasks).bound(topology).seconds - 1e-9, seed
