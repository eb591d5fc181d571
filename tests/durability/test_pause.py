"""Pause leaves a job that the next render continues, cancel one that is taken up on purpose; neither is
undone by whatever starts a dead driver again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from farm.state.job_state import CANCELLED, DONE, INTERRUPTED, PAUSED, RUNNING, STATE_FORM, read_state
from farm.verbs.control import cancel, pause, resume
from farm.verbs.status import job_status
from jobs.errors import UsageError
from jobs.store.documents import UserRequest
from jobs.store.store import Store

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace


@dataclass
class Run:
    """What one driver did: the tasks it committed, and its last event."""

    tasks: list[str] = field(default_factory=list)
    outcome: str = INTERRUPTED
    films: dict[str, str] = field(default_factory=dict)
    total: int = 0


Asking = Callable[[str, str], object]


def driven(
    workspace: Workspace,
    runs: Path,
    serial: bool = True,
    asking: Asking | None = None,
    stop_after: int = 0,
    **options: Any,
) -> Run:
    """Renders; after five tasks it calls `asking`, after `stop_after` the driver is gone."""
    run = Run()
    events = render(workspace.spec_of(runs), runs=str(runs), serial=serial, **options)
    for event in events:
        if isinstance(event, TaskCommitted):
            run.tasks.append(event.task)
            if asking and len(run.tasks) == 5:
                asking(str(runs), "harbor")
            if len(run.tasks) == stop_after:
                events.close()
                break
        elif isinstance(event, JobFinished):
            run.outcome, run.total = event.outcome, event.state["tasks"]["total"]
            run.films = {film["name"]: film["sha256"] for film in event.state["videos"]}
    return run


def assert_continued(workspace: Workspace, first: Run, rest: Run) -> None:
    """Together they did every task once, and the films are those of a render that nothing stopped."""
    assert rest.outcome == DONE
    assert rest.films == workspace.render().films
    assert len({*first.tasks, *rest.tasks}) == len(first.tasks) + len(rest.tasks) == rest.total


def test_a_paused_job_is_continued_by_rendering_it_again(workspace: Workspace) -> None:
    runs = workspace.root / "paused"
    first = driven(workspace, runs, asking=pause)
    assert (first.outcome, len(first.tasks)) == (PAUSED, 5)
    assert job_status(str(runs), "harbor").outcome == PAUSED
    assert_continued(workspace, first, driven(workspace, runs))


@pytest.mark.parametrize("serial", [True, False])
def test_a_cancelled_job_says_what_takes_it_up_again(workspace: Workspace, serial: bool) -> None:
    """Without a worker, and without a word in the state, whichever executor is asked."""
    runs = workspace.root / f"cancelled-{serial}"
    first = driven(workspace, runs, asking=cancel)
    assert (first.outcome, len(first.tasks)) == (CANCELLED, 5)
    again = "farm resume harbor --serial" if serial else "farm resume harbor"
    with pytest.raises(UsageError, match=f"{again} --runs {runs}") as refusal:
        driven(workspace, runs, serial)
    assert refusal.value.exit_code == 2
    assert "--resume" in str(refusal.value)
    assert job_status(str(runs), "harbor").outcome == CANCELLED
    assert resume(str(runs), "harbor").needs_driver
    assert_continued(workspace, first, driven(workspace, runs, resume=True))
    assert driven(workspace, runs).outcome == DONE


@pytest.mark.parametrize("serial", [True, False])
@pytest.mark.parametrize("left", [RUNNING, INTERRUPTED])
@pytest.mark.parametrize(("asked", "outcome"), [(UserRequest.PAUSE, PAUSED), (UserRequest.CANCEL, CANCELLED)])
def test_what_a_dead_driver_was_asked_the_next_one_heeds(
    workspace: Workspace, asked: UserRequest, outcome: str, left: str, serial: bool
) -> None:
    """And it starts no worker for that; once heeded, the request is no longer there."""
    runs = workspace.root / f"{asked}-{left}-{serial}"
    first = driven(workspace, runs, stop_after=5)
    store = Store.find(str(runs), "harbor")
    known = read_state(store)
    assert known is not None
    store.save(STATE_FORM, replace(known, outcome=left))
    store.request(asked)
    heeded = driven(workspace, runs, serial)
    assert (heeded.outcome, heeded.tasks) == (outcome, [])
    status = job_status(str(runs), "harbor")
    assert (status.outcome, status.requests) == (outcome, ())
    assert heeded.total == known.tasks.total
    assert_continued(workspace, first, driven(workspace, runs, resume=True))


def test_a_request_that_came_too_late_is_forgotten(workspace: Workspace) -> None:
    runs = workspace.root / "late"
    driven(workspace, runs)
    store = Store.find(str(runs), "harbor")
    for request in UserRequest:
        store.request(request)
    assert driven(workspace, runs).outcome == DONE
    assert store.requests() == frozenset()
