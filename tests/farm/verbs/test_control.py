"""`farm pause`, `resume`, `cancel` with and without a driver."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from farm.state.job_state import CANCELLED, INTERRUPTED, PAUSED, RUNNING
from farm.verbs.control import cancel, pause, resume
from farm.verbs.status import job_status
from jobs.errors import DamagedDocument, UsageError
from jobs.store.documents import STATE, UserRequest

if TYPE_CHECKING:
    from tests.farm.verbs.conftest import MadeRun


def test_a_running_job_is_paused_and_goes_on(made: MadeRun) -> None:
    made.write(outcome=RUNNING)
    with made.store.lock():
        pause(made.runs, "harbor")
        assert made.store.requests() == {UserRequest.PAUSE}
        assert not resume(made.runs, "harbor").needs_driver
        assert made.store.requests() == frozenset()


def test_a_job_without_a_driver_needs_one_to_resume(made: MadeRun) -> None:
    made.store.request(UserRequest.PAUSE)
    made.store.request(UserRequest.CANCEL)
    assert resume(made.runs, "harbor").needs_driver
    assert made.store.requests() == frozenset()


def test_a_driver_that_has_paused_and_still_says_so_somewhere_is_waited_for(made: MadeRun) -> None:
    made.write(outcome=PAUSED)
    lock = made.store.lock()
    lock.acquire()
    ending = threading.Timer(0.5, lock.release)
    ending.start()
    assert resume(made.runs, "harbor").needs_driver
    ending.join()


def test_a_driver_that_does_not_end_is_not_waited_for_for_ever(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.verbs.control.ENDING_S", 0.2)
    made.write(outcome=PAUSED)
    with made.store.lock():
        assert not resume(made.runs, "harbor").needs_driver


def test_a_running_job_is_asked_to_cancel(made: MadeRun) -> None:
    made.write(outcome=RUNNING)
    with made.store.lock():
        cancel(made.runs, "harbor")
        assert made.store.requests() == {UserRequest.CANCEL}


def test_a_job_whose_driver_died_is_cancelled_at_once(made: MadeRun) -> None:
    made.write(outcome=INTERRUPTED)
    cancel(made.runs, "harbor")
    assert job_status(made.runs, "harbor").outcome == CANCELLED
    assert len(made.store.commits()) > 0


@pytest.mark.parametrize("damage", [b"", b"{", b'{"outcome": "running"}'])
def test_a_job_whose_state_is_torn_is_not_said_to_be_cancelled(made: MadeRun, damage: bytes) -> None:
    made.store.backend.replace(STATE, damage)
    with pytest.raises(DamagedDocument, match="farm resume harbor --runs"):
        cancel(made.runs, "harbor")
    assert made.store.backend.read(STATE) == damage
    assert made.store.requests() == frozenset()


def test_what_has_ended_is_neither_paused_nor_cancelled(made: MadeRun) -> None:
    for verb in (pause, cancel):
        with pytest.raises(UsageError, match="is done"):
            verb(made.runs, "harbor")


@pytest.mark.parametrize("verb", [pause, resume, cancel])
def test_an_unknown_job_is_an_error(made: MadeRun, verb: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match="did you mean harbor"):
        verb(made.runs, "habor")
