"""The scheduler's view of a task graph."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from farm.scheduler.graph import Rows, ScheduledTask, ScheduleGraph, scheduled
from farm.simulator.workload import SLEEPS, SimulatedFilm, films, job
from jobs.tasks.task import Need, Stage, StageTask


def test_rows_and_their_inverse() -> None:
    rows = Rows([[1, 2], [], [2]])
    assert [list(rows[i]) for i in range(3)] == [[1, 2], [], [2]]
    assert [list(row) for row in (rows.inverted(3)[i] for i in range(3))] == [[], [0], [0, 2]]


def test_tails_are_the_longest_path_from_a_task_to_the_end() -> None:
    graph = ScheduleGraph(job([SimulatedFilm("v", 3, SLEEPS)]))
    tails = {name: graph.tail_s[number] for name, number in graph.number.items()}
    assert tails["v/00002/decode"] == pytest.approx(0.2)
    assert tails["v/00002/sample"] == pytest.approx(0.7)
    assert tails["v/00000/sample"] == pytest.approx(1.5)
    assert tails["v/00000/upscale"] == pytest.approx(0.3)


def test_a_need_must_stand_before_its_task() -> None:
    with pytest.raises(ValueError, match="b needs 'a'"):
        ScheduleGraph([ScheduledTask("b", Stage.DECODE, ("a",)), ScheduledTask("a", Stage.SAMPLE)])


def test_chained_stages_are_those_that_need_themselves() -> None:
    def chained(film: SimulatedFilm) -> set[int]:
        return set(ScheduleGraph(film.tasks()).chained)

    assert chained(SimulatedFilm("v", 3, SLEEPS, chained=False)) == set()
    assert chained(SimulatedFilm("v", 3, SLEEPS)) == {1}
    assert chained(SimulatedFilm("v", 3, SLEEPS, joint="overlap")) == {1, 2}


def test_a_task_counts_to_the_chunk_whose_delivery_waits_for_it() -> None:
    """With decode one chunk behind, sample(1) belongs to the delivery of chunk 0."""
    tasks = [
        ScheduledTask("s0", Stage.SAMPLE, (), "v", 0),
        ScheduledTask("s1", Stage.SAMPLE, ("s0",), "v", 1),
        ScheduledTask("d0", Stage.DECODE, ("s0", "s1"), "v", 0),
        ScheduledTask("d1", Stage.DECODE, ("s1",), "v", 1),
    ]
    graph = ScheduleGraph(tasks)
    assert list(graph.slot) == [0, 0, 0, 1]
    assert [list(graph.slot_tasks[slot]) for slot in range(2)] == [[0, 1, 2], [3]]


def test_slots_of_a_video_are_neighbours_in_order() -> None:
    graph = ScheduleGraph(job(films(3, SimulatedFilm("v", 2, SLEEPS))))
    assert list(graph.slot_video) == [0, 0, 1, 1, 2, 2]


def test_a_task_of_the_job_is_one_of_the_schedule() -> None:
    needs = (Need("latents", "a"), Need("latents", "b"), Need("previous", "a"))
    params: Any = None
    decode = StageTask("dawn/00003/decode", Stage.DECODE, "dawn", 3, 0, needs, params, bytes_estimate=700)
    assert scheduled(decode, 2.5, "vae") == ScheduledTask(
        "dawn/00003/decode", Stage.DECODE, ("a", "b"), "dawn", 3, 700, 2.5, "vae"
    )
    assert scheduled(replace(decode, stage=Stage.SEGMENT), 2.5).payload_bytes == 0, "delivered at once"
