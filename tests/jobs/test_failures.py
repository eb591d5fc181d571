"""The failure table, row by row."""

from __future__ import annotations

import pytest

from jobs.errors import FailureKind
from jobs.failures import (
    CORRUPT_INPUT_CAP,
    EXACT_RUNGS,
    TABLE,
    Action,
    Failure,
    Rung,
    attempts_consumed,
    decide,
    ladder,
)

KIND = FailureKind


def fail(kind: FailureKind, count: int = 1, **fields: str) -> list[Failure]:
    return [Failure(kind, worker=f"w{index}", **fields) for index in range(count)]


def test_every_kind_has_a_row() -> None:
    assert set(TABLE) == set(FailureKind)


@pytest.mark.parametrize(
    ("kind", "tries", "consumed"),
    [
        (KIND.INVALID, 1, 0),
        (KIND.OOM, 5, 0),
        (KIND.WORKER_LOST, 5, 0),
        (KIND.HANG, 3, 3),
        (KIND.BAD_OUTPUT, 3, 3),
        (KIND.BUG, 2, 0),
    ],
)
def test_a_task_is_quarantined_after_its_kinds_limit(kind: FailureKind, tries: int, consumed: int) -> None:
    for count in range(1, tries):
        assert decide(fail(kind, count), "segment", max_attempts=3).action is Action.RETRY, count
    last = decide(fail(kind, tries), "segment", max_attempts=3)
    assert last.action is Action.QUARANTINE
    assert last.reason.startswith(str(kind))
    assert attempts_consumed(fail(kind, tries)) == consumed


def test_the_spec_may_change_how_many_workers_a_task_may_lose() -> None:
    assert decide(fail(KIND.WORKER_LOST, 6), "decode", 3, max_losses=7).action is Action.RETRY
    assert decide(fail(KIND.WORKER_LOST, 2), "decode", 3, max_losses=2).action is Action.QUARANTINE


def test_kinds_have_limits_of_their_own() -> None:
    history = fail(KIND.WORKER_LOST, 4) + fail(KIND.OOM, 2) + fail(KIND.BUG) + fail(KIND.HANG, 2)
    assert decide(history, "decode", max_attempts=3).action is Action.RETRY


def test_attempts_are_shared_between_the_kinds_that_consume_them() -> None:
    assert decide(fail(KIND.HANG, 2) + fail(KIND.BAD_OUTPUT), "decode", 3).action is Action.QUARANTINE


def test_the_same_bad_bytes_twice_end_it() -> None:
    twice = fail(KIND.BAD_OUTPUT, 2, evidence="ab")
    assert decide(twice, "sample", max_attempts=9).action is Action.QUARANTINE
    other = fail(KIND.BAD_OUTPUT, 1, evidence="ab") + fail(KIND.BAD_OUTPUT, 1, evidence="cd")
    assert decide(other, "sample", max_attempts=9).action is Action.RETRY
    assert decide(fail(KIND.BAD_OUTPUT, 2), "sample", max_attempts=9).action is Action.RETRY


def test_a_bad_output_moves_to_another_worker() -> None:
    assert decide(fail(KIND.BAD_OUTPUT, 2), "sample", 3).avoid == ("w0", "w1")
    assert decide(fail(KIND.HANG), "sample", 3).avoid == ()


def test_storage_pauses_the_job_and_costs_nothing() -> None:
    verdict = decide(fail(KIND.STORAGE, 7, message="disk full"), "sample", 3)
    assert (verdict.action, verdict.reason) == (Action.PAUSE, "storage: disk full")


def test_a_damaged_input_is_rendered_again_until_the_medium_is_suspect() -> None:
    for count in range(1, CORRUPT_INPUT_CAP):
        verdict = decide(fail(KIND.STORAGE, count, corrupt_input="ab" * 32), "decode", 3)
        assert verdict.action is Action.RERENDER_INPUT
    assert (
        decide(fail(KIND.STORAGE, CORRUPT_INPUT_CAP, corrupt_input="ab"), "decode", 3).action is Action.PAUSE
    )


@pytest.mark.parametrize("stage", ["encode", "sample", "upscale", "decode", "segment"])
def test_byte_preserving_rungs_come_first(stage: str) -> None:
    exact = [rung.exact for rung in ladder(stage)]
    assert exact == sorted(exact, reverse=True)
    assert ladder(stage)[: len(EXACT_RUNGS)] == EXACT_RUNGS


def test_each_out_of_memory_climbs_one_rung() -> None:
    rungs = ladder("decode")
    for count in range(1, len(rungs) + 1):
        verdict = decide(fail(KIND.OOM, count), "decode", 3)
        assert (verdict.action, verdict.rungs) == (Action.RETRY, rungs[:count])
    assert rungs[-1] is Rung.TILE_DECODE
    assert decide(fail(KIND.OOM, len(rungs) + 1), "decode", 3).action is Action.QUARANTINE


def test_the_fourth_rung_leaves_the_worker() -> None:
    assert decide(fail(KIND.OOM, 3), "decode", 3).avoid == ()
    assert decide(fail(KIND.OOM, 4), "decode", 3).avoid == ("w0", "w1", "w2", "w3")


def test_the_ladder_survives_a_failure_of_another_kind() -> None:
    verdict = decide(fail(KIND.OOM, 2) + fail(KIND.WORKER_LOST), "decode", 3)
    assert verdict.rungs == ladder("decode")[:2]
    damaged = decide(fail(KIND.OOM, 2) + fail(KIND.STORAGE, corrupt_input="ab"), "decode", 3)
    assert damaged.rungs == ladder("decode")[:2]
