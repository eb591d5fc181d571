"""`run.approve: sample`: drafts first, then what was approved, and only what was rejected again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm.api import render
from farm.cli.main import run
from farm.events import JobFinished, TaskStarted
from farm.state.job_state import EXIT_CODES
from farm.verbs.approve import approve
from farm.verbs.status import job_status
from farm.verbs.why import why_job
from jobs.errors import SpecError, UsageError
from jobs.hashing import sha256_of_file
from jobs.tasks.retry import Selection

SHOTS = 8
CHUNKS = [
    {"generate": {"prompt": "a pier", "num_frames": 17}},
    {"extend": {"prompt": "gulls", "num_new_frames": 16, "overlap_frames": 8}},
]


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    return {
        "version": 3,
        "name": "pier",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "upscale": {"steps": 1},
        "videos": [{"name": f"shot{number}", "chunks": CHUNKS} for number in range(SHOTS)],
        "run": {"approve": "sample"},
        "output": {"dir": str(tmp_path / "out")},
    }


@pytest.fixture
def runs(tmp_path: Path) -> str:
    return str(tmp_path / "runs")


def rendered(job: dict[str, Any], runs: str) -> tuple[list[str], str]:
    """Tasks that were computed, and the outcome."""
    *events, last = render(job, runs=runs, serial=True)
    assert isinstance(last, JobFinished)
    return [event.task for event in events if isinstance(event, TaskStarted)], last.outcome


def stages(tasks: list[str]) -> dict[str, int]:
    names = [task.rpartition("/")[2] for task in tasks if not task.startswith("encode")]
    return {name: names.count(name) for name in sorted(set(names))}


def shots(*numbers: int) -> Selection:
    return Selection(frozenset(f"shot{number}" for number in numbers))


def test_two_of_eight_shots_are_rejected(job: dict[str, Any], runs: str, tmp_path: Path) -> None:
    tasks, outcome = rendered(job, runs)
    assert (outcome, EXIT_CODES[outcome]) == ("unapproved", 3)
    assert stages(tasks) == {"decode": 16, "sample": 16, "segment": 16}
    assert len(list((tmp_path / "out").glob("*.draft.mp4"))) == SHOTS
    assert rendered(job, runs) == ([], "unapproved")

    assert len(approve(runs, "pier", shots(0, 1, 2, 3, 4, 5)).free) == 12
    again = ["--videos", "shot6", "--videos", "shot7", "--chunks", "1", "--reseed", "--runs", runs]
    assert run(["retry", "pier", *again]) == 0
    tasks, outcome = rendered(job, runs)
    assert outcome == "unapproved"
    sampled = [task for task in tasks if task.endswith("/sample")]
    assert sampled == ["shot6/00001/sample", "shot7/00001/sample"]
    assert stages(tasks)["upscale"] == 12
    assert {path.name for path in (tmp_path / "out").glob("*.draft.mp4")} == {
        "shot6.draft.mp4",
        "shot7.draft.mp4",
    }

    assert approve(runs, "pier", Selection()).left == ()
    tasks, outcome = rendered(job, runs)
    assert (outcome, stages(tasks)) == ("done", {"decode": 4, "segment": 4, "upscale": 4})
    assert list((tmp_path / "out").glob("*.draft.mp4")) == []
    assert len(job_status(runs, "pier").videos) == SHOTS


def test_the_film_is_that_of_a_job_without_approval(job: dict[str, Any], runs: str, tmp_path: Path) -> None:
    job["videos"] = job["videos"][:1]
    rendered(job, runs)
    approve(runs, "pier", Selection())
    assert rendered(job, runs)[1] == "done"
    plain = {**job, "run": {}, "output": {"dir": str(tmp_path / "plain")}}
    list(render(plain, runs=str(tmp_path / "others"), serial=True))
    films = [sha256_of_file(tmp_path / folder / "shot0.mp4") for folder in ("out", "plain")]
    assert films[0] == films[1]


def test_an_edited_prompt_asks_again_from_there_on(job: dict[str, Any], runs: str) -> None:
    job["videos"] = job["videos"][:1]
    rendered(job, runs)
    approve(runs, "pier", Selection())
    edited = [CHUNKS[0], {"extend": {**CHUNKS[1]["extend"], "prompt": "no gulls"}}]
    tasks, outcome = rendered({**job, "videos": [{"name": "shot0", "chunks": edited}]}, runs)
    assert outcome == "unapproved"
    assert [task for task in tasks if task.endswith("/sample")] == ["shot0/00001/sample"]
    assert approve(runs, "pier", Selection(), dry_run=True).approved == (
        "shot0/00000/sample",
        "shot0/00001/sample",
    )


def test_what_nobody_has_seen_cannot_be_approved(job: dict[str, Any], runs: str) -> None:
    list(render(job, runs=runs, serial=True, until="encode"))
    with pytest.raises(UsageError, match="shot0/00000/sample is not there"):
        approve(runs, "pier", Selection())
    rendered(job, runs)
    assert "farm approve pier" in why_job(runs, "pier").reason
    assert run(["approve", "pier", "--runs", runs]) == 2
    assert run(["approve", "pier", "--all", "--runs", runs]) == 0
    assert run(["delete", "pier", "--yes", "--runs", runs]) == 0
    assert not Path(runs, "pier").exists()


def test_a_job_that_asks_for_no_approval(job: dict[str, Any], runs: str) -> None:
    with pytest.raises(SpecError, match=r"run\.approve"):
        rendered({**job, "upscale": None}, runs)
    rendered({**job, "run": {}, "videos": job["videos"][:1]}, runs)
    with pytest.raises(UsageError, match="asks for no approval"):
        approve(runs, "pier", Selection())
