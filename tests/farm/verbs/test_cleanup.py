"""`farm delete` and `farm prune` free what they say, and nothing that is the user's."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.cli.main import run
from farm.state.job_state import CANCELLED, PAUSED
from farm.verbs.cleanup import (
    RESULTS,
    UNREFERENCED,
    WHOLE,
    Pruning,
    delete_job,
    parse_age,
    prune,
    survey_delete,
    survey_prune,
)
from jobs.errors import JobBusy, UsageError
from jobs.store.cleanup import remove, remove_folders, result_files
from jobs.store.store import Store

if TYPE_CHECKING:
    from tests.farm.verbs.conftest import MadeRun

STALE = "ab" * 32


def files(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_size for path in folder.rglob("*") if path.is_file()
    }


def lock_files(found: dict[str, int]) -> set[str]:
    return {name for name in found if name.startswith("lock/")}


def test_delete_says_what_it_frees_and_frees_exactly_that(made: MadeRun) -> None:
    run_dir = Path(made.runs) / "harbor"
    there = files(run_dir)
    survey = survey_delete(made.runs, "harbor")
    assert files(run_dir) == there
    wanted = {name: size for name, size in there.items() if name not in lock_files(there)}
    assert (survey.files, survey.bytes) == (len(wanted), sum(wanted.values()))
    assert not survey.deleted
    deleted = delete_job(made.runs, "harbor")
    # The reserve came with the lock.
    assert (deleted.files - 1, deleted.deleted, deleted.left) == (survey.files, True, ())
    assert not run_dir.exists()
    assert [Path(film).exists() for film in survey.staying] == [True, True]
    with pytest.raises(UsageError):
        survey_delete(made.runs, "harbor")


def test_delete_leaves_what_the_farm_did_not_write(made: MadeRun) -> None:
    run_dir = Path(made.runs) / "harbor"
    mine = ["notes.txt", "artifacts/notes.txt", "commits/list.json", "cut/reel.mov", ".hidden"]
    for name in mine:
        (run_dir / name).parent.mkdir(exist_ok=True)
        (run_dir / name).write_text("mine")
    assert delete_job(made.runs, "harbor").left == tuple(sorted(mine))
    assert set(files(run_dir)) == set(mine)


def test_films_go_only_on_request_and_only_where_the_job_wrote_what_stands_there(made: MadeRun) -> None:
    dawn, noon = (Path(film.path) for film in made.state.videos)
    noon.write_bytes(b"somebody's cut")
    other = dawn.with_name("other.mp4")
    other.write_bytes(b"other")
    survey = survey_delete(made.runs, "harbor", films=True)
    assert (survey.films, survey.staying) == ((str(dawn),), (str(noon),))
    assert dawn.exists()
    assert delete_job(made.runs, "harbor", films=True).films == (str(dawn),)
    assert [path.exists() for path in (dawn, noon, other)] == [False, True, True]


def test_a_job_that_is_rendered_is_refused(made: MadeRun) -> None:
    with made.store.lock():
        with pytest.raises(JobBusy, match=r"farm cancel harbor --runs"):
            survey_delete(made.runs, "harbor")
        assert survey_prune(made.runs, Pruning(results=True, older_s=0.0)).jobs == ()
        assert prune(made.runs, Pruning(results=True, older_s=0.0)).files == 0
    assert made.store.check().damage == ()


def test_prune_frees_results_that_no_task_has(made: MadeRun) -> None:
    kept = made.store.commits()
    stale = made.store.put(STALE, 1, "bin", b"an earlier edit", {})
    loser = Path(made.runs) / "harbor" / "artifacts" / f"{STALE}.2-{'0' * 12}.bin"
    loser.write_bytes(b"a loser")
    survey = survey_prune(made.runs, Pruning())
    assert [(each.job, each.what, each.files) for each in survey.jobs] == [("harbor", UNREFERENCED, 3)]
    assert survey.bytes > len(b"an earlier edita loser")
    assert prune(made.runs, Pruning()).files == 3
    assert made.store.commits() == kept
    assert not loser.exists()
    assert made.store.backend.stat(stale.file) is None
    assert survey_prune(made.runs, Pruning()).files == 0


def test_prune_frees_results_of_films_that_all_stand(made: MadeRun) -> None:
    survey = survey_prune(made.runs, Pruning(results=True))
    assert [(each.what, each.files) for each in survey.jobs] == [
        (RESULTS, len(result_files(made.store).keys))
    ]
    film = made.film("noon")
    film.write_bytes(b"edited")
    assert survey_prune(made.runs, Pruning(results=True)).files == 0
    film.write_bytes(b"film noon")
    prune(made.runs, Pruning(results=True))
    assert made.store.commits() == {}
    assert Store.find(made.runs, "harbor").read_json("state.json") is not None


@pytest.mark.parametrize(("outcome", "goes"), [("done", True), (CANCELLED, True), (PAUSED, False)])
def test_prune_frees_jobs_that_ended_long_ago(made: MadeRun, outcome: str, goes: bool) -> None:
    made.write(outcome=outcome, ended_s=time.time() - 3600)
    assert survey_prune(made.runs, Pruning(older_s=7200)).files == 0
    survey = survey_prune(made.runs, Pruning(older_s=1800))
    assert [each.what for each in survey.jobs] == ([WHOLE] if goes else [])
    prune(made.runs, Pruning(older_s=1800))
    assert (Path(made.runs) / "harbor").exists() is not goes


def test_an_object_store_is_emptied_likewise(s3_url: str) -> None:
    store = Store.open(f"{s3_url}/cleanup", "harbor")
    store.put(STALE, 1, "bin", b"frames", {})
    store.write_json("plan.json", {})
    store.backend.replace("notes.txt", b"mine")
    result = delete_job(f"{s3_url}/cleanup", "harbor")
    assert result.left == ("notes.txt",)
    assert set(store.backend.entries("artifacts")) == set(store.backend.entries("lock")) == set()


def test_an_interrupted_deletion_can_be_repeated(made: MadeRun) -> None:
    with made.store.lock() as lock:
        remove(made.store, result_files(made.store), lock)
    assert delete_job(made.runs, "harbor").deleted
    assert not (Path(made.runs) / "harbor").exists()


def test_a_lost_lock_ends_the_deletion(made: MadeRun) -> None:
    lock = made.store.lock()
    lock.acquire()
    lock._usurper = lock._holder
    with pytest.raises(JobBusy):
        remove(made.store, result_files(made.store), lock)
    with pytest.raises(JobBusy):
        remove_folders(made.store, lock)
    assert made.store.check().damage == ()


@pytest.mark.parametrize("text", ["", "30", "d", "-1d", "1.5d", "30 d", "1y"])
def test_an_age_that_does_not_parse_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="12h, 30d or 4w"):
        parse_age(text)


def test_ages() -> None:
    assert [parse_age(text) for text in ("12h", "30d", "4w")] == [43200, 2592000, 2419200]


def farm(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(word) for word in words])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_command_line_deletes_only_what_was_agreed_to(
    made: MadeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = Path(made.runs) / "harbor"
    words = ("delete", "harbor", "--runs", made.runs)
    code, out, err = farm(capsys, *words)
    assert (code, "add --yes" in err) == (2, True)
    assert f"{run_dir}: " in out
    assert "stays " in out
    code, out, _ = farm(capsys, *words, "--dry-run")
    assert (code, out.splitlines()[-1].endswith("would be freed; nothing was deleted")) == (0, True)
    assert run_dir.exists()
    code, out, _ = farm(capsys, *words, "--yes", "-o", "json")
    assert (code, json.loads(out)["deleted"]) == (0, True)
    assert not run_dir.exists()
    assert farm(capsys, "prune", "--runs", made.runs, "--older-than", "1x")[0] == 2
    code, out, _ = farm(capsys, "prune", "--runs", made.runs, "-o", "json", "--dry-run")
    assert (code, json.loads(out)["jobs"]) == (0, [])


def test_prune_asks_at_a_terminal(
    made: MadeRun, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter([False, True])
    monkeypatch.setattr("typer.confirm", lambda *_, **__: next(answers))
    words = ("prune", "--runs", made.runs, "--results")
    assert "nothing was deleted" in farm(capsys, *words)[1]
    assert made.store.commits()
    assert " freed" in farm(capsys, *words)[1]
    assert made.store.commits() == {}
    assert [path.name for path in Path(made.runs).iterdir()] == ["harbor"]
