"""`farm pick`: the film has the take that was picked, and nothing is sampled for it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from farm.api import render
from farm.cli.main import run
from farm.events import JobFinished, TaskCommitted, TaskStarted
from farm.options import RenderOptions
from farm.specs.load import load
from farm.state.job_state import DONE
from farm.verbs.cleanup import UNREFERENCED, Pruning, delete_job, survey_prune
from farm.verbs.pick import pick
from farm.verbs.plan import PlanRequest, plan_job
from farm.verbs.status import job_status
from farm.verbs.why import why_job
from jobs.errors import InputError, UsageError
from jobs.hashing import sha256_of_file
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.spec.job import JobSpec
from jobs.store.store import Store

SHOTS = ("a", "b", "c", "d", "e")


def spec(folder: Path, takes: int = 3, **more: Any) -> dict[str, Any]:
    shots: list[dict[str, Any]] = [{"name": name, "seconds": 0.4, "prompt": f"shot {name}"} for name in SHOTS]
    if takes > 1:
        shots[3]["takes"] = takes
    return {
        "version": 3,
        "name": "harbor",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "dawn", "shots": shots}],
        "output": {"dir": str(folder / "out")},
        **more,
    }


def rendered(job: dict[str, Any], folder: Path) -> tuple[list[str], JobFinished]:
    """Tasks that were computed, and the end."""
    *events, last = render(job, runs=str(folder / "runs"), serial=True)
    assert isinstance(last, JobFinished)
    return [event.task for event in events if isinstance(event, TaskCommitted)], last


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job with three takes of its fourth shot, rendered once."""
    folder = tmp_path_factory.mktemp("takes")
    assert rendered(spec(folder), folder)[1].outcome == DONE
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy of its run directory, whose films are put elsewhere."""
    shutil.copytree(made / "runs", tmp_path / "runs")
    return tmp_path


def film(folder: Path) -> str:
    return sha256_of_file(folder / "out" / "dawn.mp4")


def test_take_3_of_shot_4_is_picked_and_nothing_is_sampled(made: Path, folder: Path) -> None:
    runs = str(folder / "runs")
    result = pick(runs, "harbor", "d", 3)
    assert (result.video, result.take, result.before, result.left, result.busy) == ("dawn", 3, 1, 0, False)
    report = plan_job(load(spec(folder), RenderOptions()), PlanRequest(runs_url=runs))
    assert [row.left for row in report.stages] == [0] * len(report.stages)
    assert [(row.takes, row.picked, row.left) for row in report.takes] == [(3, 3, 0)]

    computed, end = rendered(spec(folder), folder)
    assert (computed, end.outcome, end.state["reason"]) == ([], DONE, "")
    assert film(folder) != film(made)
    takes = {video.name: video.take for video in job_status(runs, "harbor").videos}
    assert [take.picked for take in takes.values() if take] == [False, False, True]
    assert takes["dawn.d.take3"] is not None
    assert takes["dawn.d.take3"].seed == result.seed

    pick(runs, "harbor", "d", 1)
    assert rendered(spec(folder), folder)[0] == []
    assert film(folder) == film(made)


def test_a_pick_that_is_not_in_the_film_yet_is_told(folder: Path) -> None:
    runs = str(folder / "runs")
    pick(runs, "harbor", "d", 3)
    told = "take 3 of d is picked and not in the film yet: `farm resume harbor"
    assert any(line.startswith(told) for line in job_status(runs, "harbor").warnings)
    assert why_job(runs, "harbor").next_step.startswith(told)
    rendered(spec(folder), folder)
    assert job_status(runs, "harbor").warnings == ()
    assert why_job(runs, "harbor").next_step == "nothing is left to do"
    pick(runs, "harbor", "d", 1)
    assert "take 1 of d is picked" in why_job(runs, "harbor").next_step


def test_the_first_take_is_the_film_without_takes(made: Path, tmp_path: Path) -> None:
    rendered(spec(tmp_path, takes=1), tmp_path)
    assert film(tmp_path) == film(made)
    assert sorted(path.name for path in (made / "out").iterdir()) == [
        "dawn.d.take1.mp4", "dawn.d.take2.mp4", "dawn.d.take3.mp4", "dawn.mp4"
    ]  # fmt: skip
    with pytest.raises(UsageError, match="has no takes") as refused:
        pick(str(tmp_path / "runs"), "harbor", "d", 1)
    assert refused.value.exit_code == 2


def test_what_is_not_picked_is_kept(folder: Path) -> None:
    runs = str(folder / "runs")
    pick(runs, "harbor", "d", 2)
    rendered(spec(folder), folder)
    assert survey_prune(runs, Pruning()).jobs == ()
    assert rendered(spec(folder, takes=2), folder)[0] == []
    pruned = survey_prune(runs, Pruning())
    assert [job.what for job in pruned.jobs] == [UNREFERENCED]  # The third take is no longer asked for.
    assert delete_job(runs, "harbor").left == ()


def test_a_pick_during_a_render_reaches_the_driver(folder: Path) -> None:
    runs = str(folder / "runs")
    job = spec(folder, run={"keep": "all"})
    job["videos"][0]["shots"][0]["prompt"] = "another"
    events = render(job, runs=runs, serial=True)
    next(event for event in events if isinstance(event, TaskCommitted))
    assert run(["pick", "harbor", "d", "2", "--runs", runs, "--output", "json"]) == 0
    *rest, last = events
    assert isinstance(last, JobFinished)
    assert (last.outcome, last.state["reason"]) == (DONE, "")
    assert not [event for event in rest if isinstance(event, TaskStarted) and "/00003/" in event.task]
    assert rendered(job, folder)[0] == []
    takes = {video.name: video.take for video in job_status(runs, "harbor").videos}
    assert [take.picked for take in takes.values() if take] == [False, True, False]


def test_picks_that_are_refused(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(folder / "runs")
    for words, place, remedy in (
        (["d", "4"], "TAKE: 4", "takes of d are numbered 1 to 3"),
        (["d", "0"], "TAKE: 0", "takes of d are numbered 1 to 3"),
        (["dd", "1"], "SHOT: 'dd'", "did you mean `d`?"),
        (["a", "1"], "SHOT: 'a' has one take", "write `takes: 3` for it, and render again"),
        (["d", "1", "--video", "dusk"], "--video: 'dusk'", "a film with takes: dawn"),
    ):
        assert run(["pick", "harbor", *words, "--runs", runs]) == 2
        error = capsys.readouterr().err
        assert place in error
        assert remedy in error
    assert Store.find(runs, "harbor").picks() == {}


def test_a_shot_of_several_films_needs_its_film(tmp_path: Path) -> None:
    job = spec(tmp_path)
    job["videos"] = [{**job["videos"][0], "name": name} for name in ("dawn", "dusk")]
    runs = str(tmp_path / "runs")
    Store.open(runs, "harbor").save(PLAN_FORM, PlanFile(make_plan(JobSpec.model_validate(job))))
    with pytest.raises(UsageError, match="add `--video dawn`"):
        pick(runs, "harbor", "d", 2)
    result = pick(runs, "harbor", "d", 2, "dusk")
    assert (result.video, result.left) == ("dusk", 3)  # Nothing is rendered yet.
    assert Store.find(runs, "harbor").picks() == {("dusk", "d"): 2}


def test_a_picked_take_that_the_spec_lost_is_refused(folder: Path) -> None:
    runs = str(folder / "runs")
    pick(runs, "harbor", "d", 3)
    with pytest.raises(InputError, match="take 3 was picked") as refused:
        rendered(spec(folder, takes=2), folder)
    (problem,) = refused.value.problems
    assert problem.remedy.startswith("write `takes: 3` for it, or pick the first with `farm pick harbor d 1")
    run(["pick", "harbor", "d", "1", "--runs", runs])
    assert rendered(spec(folder, takes=2), folder)[0] == []


def test_names_and_amounts_of_takes(tmp_path: Path) -> None:
    job = spec(tmp_path)
    job["videos"].append({**spec(tmp_path, takes=1)["videos"][0], "name": "dawn.d.take2"})
    with pytest.raises(InputError, match=r"the film of dawn\.d\.take2") as refused:
        rendered(job, tmp_path)
    assert refused.value.problems[0].place == "videos[1].name"
    chunks = [{"generate": {"prompt": "a", "shot": "a", "takes": takes}} for takes in (1, 2)]
    with pytest.raises(InputError, match="which several shots of the video have"):
        rendered({**job, "videos": [{"name": "dawn", "chunks": chunks}]}, tmp_path)
    many = [
        {"generate": {"prompt": "a", "shot": "a", "takes": 100}},
        {"extend": {"prompt": "b", "repeat": 1000}},
    ]
    with pytest.raises(InputError, match="101101 chunks in the job"):
        rendered({**job, "videos": [{"name": "dawn", "chunks": many}]}, tmp_path)


def test_takes_by_approval_stay_drafts(tmp_path: Path) -> None:
    job = spec(tmp_path, takes=2, upscale={"steps": 1}, run={"approve": "sample"})
    runs = str(tmp_path / "runs")
    computed, end = rendered(job, tmp_path)
    assert end.outcome == "unapproved"
    assert not [task for task in computed if task.endswith("/upscale")]
    assert (tmp_path / "out" / "dawn.d.take2.draft.mp4").exists()
    pick(runs, "harbor", "d", 2)
    assert rendered(job, tmp_path)[0] == []
    assert run(["approve", "harbor", "--videos", "dawn.d.take2", "--runs", runs]) == 2
    assert run(["approve", "harbor", "--all", "--runs", runs]) == 0
    computed, end = rendered(job, tmp_path)
    assert end.outcome == DONE
    assert {task.split("/")[0] for task in computed} == {"dawn"}
    assert not [task for task in computed if task.endswith("/sample")]


def test_a_damaged_pick_says_what_helps(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(folder / "runs")
    pick(runs, "harbor", "d", 2)
    (folder / "runs/harbor/picks/dawn.d.json").write_text("torn")
    assert run(["resume", "harbor", "--serial", "--runs", runs]) == 2
    assert "delete it, then pick the take again with `farm pick harbor SHOT TAKE" in capsys.readouterr().err


def test_status_and_plan_name_takes(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = str(folder / "runs")
    assert run(["status", "harbor", "--runs", runs]) == 0
    assert "film dawn.d.take1 (take 1 of d, seed " in capsys.readouterr().out
    path = folder / "film.yaml"
    path.write_text(json.dumps(spec(folder)))
    assert run(["plan", str(path), "--runs", str(folder / "new")]) == 0
    said = capsys.readouterr().out
    assert "takes: 3 of d, take 1 is in dawn; the others are 6 tasks to do" in said
    assert "  take 1 of d, seed " in said
    assert ", picked -> dawn.d.take1.mp4" in said
