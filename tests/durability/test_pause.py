"""Pause and cancel leave a job that the next render continues."""

from __future__ import annotations

import pytest

from farm.api import render
from farm.events import JobFinished, TaskCommitted
from farm.state import CANCELLED, DONE, PAUSED
from farm.verbs.control import cancel, pause
from farm.verbs.status import job_status


@pytest.mark.parametrize(("verb", "outcome"), [(pause, PAUSED), (cancel, CANCELLED)])
def test_a_job_that_was_stopped_is_continued_by_rendering_it_again(workspace, verb, outcome: str) -> None:
    whole = workspace.render()
    runs = workspace.root / outcome
    first: list[str] = []
    ended = ""
    for event in render(workspace.spec(), runs=str(runs), serial=True):
        if isinstance(event, TaskCommitted):
            first.append(event.task)
            if len(first) == 5:
                verb(str(runs), "harbor")
        elif isinstance(event, JobFinished):
            ended = event.outcome
    assert ended == outcome == job_status(str(runs), "harbor").outcome
    assert len(first) == 5
    rest: list[str] = []
    for event in render(workspace.spec(), runs=str(runs), serial=True):
        if isinstance(event, TaskCommitted):
            rest.append(event.task)
        elif isinstance(event, JobFinished):
            assert event.outcome == DONE
            assert {film["name"]: film["sha256"] for film in event.state["videos"]} == whole.films
            assert len({*first, *rest}) == len(first) + len(rest) == event.state["tasks"]["total"]
