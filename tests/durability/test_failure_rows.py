"""The rows of the failure table that one process can live through, each caused by what really causes it.

Lost and hung workers need processes to kill: the tests on Ray have those.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from farm.api import render
from farm.events import JobFinished, TaskCommitted, TaskFailed
from farm.state.job_state import DONE, PARTIAL, PAUSED
from jobs.failures import ladder

if TYPE_CHECKING:
    from tests.durability.conftest import Workspace

TASK = "dawn/00001/decode"
SAMPLE = "dawn/00001/sample"


class Story:
    """One render with scripted faults: its events, sorted."""

    def __init__(
        self,
        workspace: Workspace,
        faults: list[dict[str, Any]],
        once_loaded: Callable[[], Any] = int,
        **more: Any,
    ) -> None:
        script = workspace.root / "faults.json"
        script.write_text(json.dumps({"faults": faults}))
        engine = {"name": "fake", "fake": {"faults": str(script)}}
        self.failed: list[TaskFailed] = []
        self.committed: list[str] = []
        events = render(workspace.spec(engine=engine, **more), runs=str(workspace.runs), serial=True)
        once_loaded()
        for event in events:
            if isinstance(event, TaskFailed):
                self.failed.append(event)
            elif isinstance(event, TaskCommitted):
                self.committed.append(event.task)
            elif isinstance(event, JobFinished):
                self.outcome, self.state = event.outcome, event.state
        self.films = {film["name"]: film for film in self.state["videos"]}
        self.kinds = [failure.kind for failure in self.failed]


@pytest.fixture(scope="module")
def undisturbed(workspace: Workspace) -> dict[str, str]:
    films = workspace.render().films
    shutil.rmtree(workspace.root)
    workspace.root.mkdir()
    return films


@pytest.fixture(autouse=True)
def fresh(workspace: Workspace, undisturbed: dict[str, str]) -> None:  # noqa: ARG001  for its effect
    for child in workspace.root.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


def shas(story: Story) -> dict[str, str]:
    return {name: film["sha256"] for name, film in story.films.items()}


def test_what_can_never_succeed_is_not_tried_again(workspace: Workspace, undisturbed: dict[str, str]) -> None:
    """A picture that is cut off after the spec was checked."""
    workspace.root.mkdir(exist_ok=True)
    picture = workspace.root / "still.png"
    Image.effect_noise((64, 64), 80).save(picture)
    cut = partial(picture.write_bytes, picture.read_bytes()[:1000])
    guided = {"generate": {"prompt": "a", "num_frames": 17, "first_image": str(picture)}}
    plain = {"generate": {"prompt": "a", "num_frames": 17}}
    videos = [{"name": "dawn", "chunks": [guided]}, {"name": "noon", "chunks": [plain]}]
    story = Story(workspace, [], cut, videos=videos)
    assert (story.outcome, story.kinds) == (PARTIAL, ["invalid"])
    assert "still.png" in story.failed[0].message
    assert shas(story) == {"noon": undisturbed["noon"]}


@pytest.mark.parametrize(
    ("do", "task"),
    [("nan", SAMPLE), ("shape", SAMPLE), ("short", SAMPLE), ("shape", TASK), ("short", TASK), ("black", TASK),
     ("frozen", TASK)],
)  # fmt: skip
def test_one_bad_output_is_tried_again(
    workspace: Workspace, undisturbed: dict[str, str], do: str, task: str
) -> None:
    story = Story(workspace, [{"task": task, "attempts": [1], "do": do}])
    assert (story.outcome, story.kinds) == (DONE, ["bad_output"])
    assert shas(story) == undisturbed
    assert len(story.committed) == len(set(story.committed))


def test_the_same_bad_bytes_twice_are_quarantined_and_the_rest_finishes(
    workspace: Workspace, undisturbed: dict[str, str]
) -> None:
    story = Story(workspace, [{"task": SAMPLE, "do": "nan"}])
    assert (story.outcome, story.kinds) == (PARTIAL, ["bad_output", "bad_output"])
    assert [task["task"] for task in story.state["failed"]] == [SAMPLE]
    assert "dawn/00003/segment" in story.committed
    assert shas(story) == {"noon": undisturbed["noon"]}


def test_a_spec_may_allow_black_frames(workspace: Workspace) -> None:
    relaxed = {"verify": {"black": "warn", "frozen": "off"}}
    story = Story(workspace, [{"task": TASK, "do": "black"}], run=relaxed)
    assert (story.outcome, story.kinds) == (DONE, [])


def test_a_bug_is_tried_once_more(workspace: Workspace, undisturbed: dict[str, str]) -> None:
    story = Story(workspace, [{"task": TASK, "attempts": [1], "do": "raise"}])
    assert (story.outcome, story.kinds) == (DONE, ["bug"])
    assert shas(story) == undisturbed


def test_a_lasting_bug_costs_its_chain_and_no_other(
    workspace: Workspace, undisturbed: dict[str, str]
) -> None:
    story = Story(workspace, [{"task": SAMPLE, "do": "raise"}])
    assert (story.outcome, story.kinds) == (PARTIAL, ["bug", "bug"])
    assert shas(story) == {"noon": undisturbed["noon"]}
    again = Story(workspace, [])
    assert (again.outcome, shas(again)) == (DONE, undisturbed)
    assert not set(again.committed) & set(story.committed)


def test_memory_that_runs_out_twice_changes_no_byte(
    workspace: Workspace, undisturbed: dict[str, str]
) -> None:
    story = Story(workspace, [{"task": TASK, "attempts": [1, 2], "do": "oom"}])
    assert (story.outcome, story.kinds) == (DONE, ["oom", "oom"])
    assert shas(story) == undisturbed
    assert all(film["exact"] for film in story.films.values())


@pytest.mark.usefixtures("undisturbed")
def test_memory_that_runs_out_on_every_exact_rung_ends_in_tiling(workspace: Workspace) -> None:
    rungs = ladder("decode")
    attempts = list(range(1, len(rungs) + 1))
    story = Story(workspace, [{"task": TASK, "attempts": attempts, "do": "oom"}])
    assert (story.outcome, story.kinds) == (DONE, ["oom"] * len(rungs))
    assert story.committed.count(SAMPLE) == 1
    assert {name: film["exact"] for name, film in story.films.items()} == {"dawn": False, "noon": True}
    provenance = {task: commit.provenance for task, commit in by_task(workspace).items()}[TASK]
    assert (provenance["exact"], provenance["ladder"]) == (False, [rung.value for rung in rungs])
    later = Story(workspace, [])
    assert later.committed == []
    assert {name: film["exact"] for name, film in later.films.items()} == {"dawn": False, "noon": True}


def test_a_full_disk_pauses_without_losing_anything(
    workspace: Workspace, undisturbed: dict[str, str]
) -> None:
    story = Story(workspace, [{"task": TASK, "attempts": [1], "do": "disk_full"}])
    assert (story.outcome, story.kinds) == (PAUSED, ["storage"])
    again = Story(workspace, [])
    assert (again.outcome, shas(again)) == (DONE, undisturbed)
    assert not set(again.committed) & set(story.committed)


def test_a_process_that_lost_its_device_does_nothing_more_with_it(
    workspace: Workspace, undisturbed: dict[str, str]
) -> None:
    """There is no worker to replace: the render ends, and goes on in another process."""
    story = Story(workspace, [{"task": TASK, "attempts": [1], "do": "device_lost"}])
    assert (story.outcome, story.kinds) == (PAUSED, ["worker_lost"])
    assert "farm resume harbor" in story.state["reason"]
    again = Story(workspace, [])
    assert (again.outcome, shas(again)) == (DONE, undisturbed)
    assert not set(again.committed) & set(story.committed)


def by_task(workspace: Workspace) -> dict[str, Any]:
    """Every result that was ever committed, by task."""
    store = workspace.store()
    commits = {**store.evicted(), **store.commits()}
    return {commit.provenance["task"]: commit for commit in commits.values()}
