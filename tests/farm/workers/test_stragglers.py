"""A worker that is slower than its like is reported, once."""

from __future__ import annotations

from farm.workers.stragglers import StragglerDetector
from jobs.tasks.task import Stage


def notices(
    detector: StragglerDetector, worker: str, *seconds: float, stage: Stage = Stage.SAMPLE
) -> list[str]:
    return [text for one in seconds if (text := detector.observe(worker, stage, 2.0, one))]


def test_a_worker_that_takes_twice_as_long_is_told_of_once() -> None:
    detector = StragglerDetector()
    assert notices(detector, "a", 9.0, 2.0, 2.1, 1.9) == []
    assert notices(detector, "b", 9.0, 4.0, 4.0) == []
    (text,) = notices(detector, "b", 4.0, 4.0, 4.0)
    assert text.startswith("b takes 2.0 times as long as the others to sample: ")
    assert "nvidia-smi" in text


def test_the_first_task_compiles_and_does_not_count() -> None:
    detector = StragglerDetector()
    notices(detector, "a", *(5 * [2.0]))
    assert notices(detector, "b", 60.0, *(5 * [2.0])) == []


def test_equal_workers_and_a_lone_one_are_not_told_of() -> None:
    detector = StragglerDetector()
    assert notices(detector, "a", *(9 * [8.0])) == []
    assert notices(detector, "b", *(9 * [8.5])) == []


def test_stages_are_compared_for_themselves_and_uneven_ones_not_at_all() -> None:
    detector = StragglerDetector()
    notices(detector, "a", *(5 * [2.0]))
    assert notices(detector, "b", *(5 * [9.0]), stage=Stage.DECODE) == []
    for stage in (Stage.ENCODE, Stage.SEGMENT):
        notices(detector, "c", *(5 * [2.0]), stage=stage)
        assert notices(detector, "d", *(5 * [9.0]), stage=stage) == []


def test_what_takes_next_to_no_time_says_nothing() -> None:
    detector = StragglerDetector()
    notices(detector, "a", *(9 * [0.05]))
    assert notices(detector, "b", *(9 * [0.15])) == []
