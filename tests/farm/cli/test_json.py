"""What each command prints with `--output json` fits the schema that `farm schema COMMAND` prints."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from farm.cli.results import RESULTS, result_schema
from tests.farm.cli.conftest import JOB, Farm, Rendered

GOLDEN = Path(__file__).with_name("schemas.json")


def fits(value: Any, command: str) -> Any:
    jsonschema.validate(value, result_schema(command), cls=jsonschema.Draft202012Validator)
    return value


def test_init(farm: Farm, tmp_path: Path) -> None:
    result = fits(farm("init", tmp_path / "my film.yaml", "-o", "json").json, "init")
    assert result == {"spec": str(tmp_path / "my film.yaml"), "job": "my-film", "recipe": None}


def test_check(farm: Farm, spec: Path) -> None:
    result = fits(farm("check", spec, "-o", "json").json, "check")
    assert [(video["name"], video["chunks"], video["frames"]) for video in result["videos"]] == [
        ("dawn", 3, 49),
        ("noon", 1, 17),
    ]


def test_plan(farm: Farm, spec: Path, tmp_path: Path) -> None:
    words = ("plan", spec, "--gpus", 2, "--gpu-hour-cost", 3, "--runs", tmp_path / "runs", "-o", "json")
    result = fits(farm(*words).json, "plan")
    assert len(result["chunks"]) == 4
    assert result["options"][0]["topology"] == result["topology"]


def test_doctor(farm: Farm, spec: Path, tmp_path: Path) -> None:
    result = fits(farm("doctor", spec, "--runs", tmp_path / "runs", "-o", "json").json, "doctor")
    assert result["able"]
    assert {finding["level"] for finding in result["findings"]} <= {"ok", "warn"}


def test_render(farm: Farm, rendered: Rendered) -> None:
    """A second render finds everything and still answers with the films and the report."""
    words = ("render", rendered.spec, "--serial", "--runs", rendered.runs, "-o", "json")
    answer = farm(*words)
    result = fits(answer.json, "render")
    assert (answer.code, result["outcome"], result["tasks"]["committed"]) == (0, "done", 0)
    assert all(Path(film["path"]).exists() for film in result["videos"])
    assert Path(result["report"]).exists()


@pytest.mark.parametrize("command", ["list", "status", "logs", "why", "verify", "report"])
def test_what_reads_a_run(farm: Farm, rendered: Rendered, command: str) -> None:
    job = () if command == "list" else (JOB,)
    answer = farm(command, *job, "--runs", rendered.runs, "--output", "json")
    assert answer.code == 0, answer.err
    assert fits(answer.json, command)


def test_why_a_task(farm: Farm, rendered: Rendered) -> None:
    result = fits(farm("why", JOB, "dawn/1/sample", "--runs", rendered.runs, "-o", "json").json, "why")
    assert result["state"] == "committed"


@pytest.mark.parametrize("dry", [["--dry-run"], []])
def test_retry(farm: Farm, rendered: Rendered, dry: list[str]) -> None:
    words = ("retry", JOB, "--videos", "dawn", "--chunks", "1-2", "--reseed", "--runs", rendered.runs)
    result = fits(farm(*words, *dry, "-o", "json").json, "retry")
    assert (result["dry_run"], result["voided"] > 0) == (bool(dry), not dry)
    assert [(seed["video"], seed["chunk"]) for seed in result["seeds"]] == [("dawn", 1), ("dawn", 2)]


def test_cancel_and_resume(farm: Farm, rendered: Rendered) -> None:
    """Retry leaves something to do, cancel settles it, resume renders it."""
    runs = ("--runs", rendered.runs, "-o", "json")
    farm("retry", JOB, "--videos", "noon", *runs)
    assert fits(farm("cancel", JOB, *runs).json, "cancel")["asked"] == "cancel"
    result = fits(farm("resume", JOB, "--serial", *runs).json, "render")
    assert (result["outcome"], result["tasks"]["committed"]) == ("done", 3)


def test_a_cancelled_job_is_rendered_on_purpose_only(farm: Farm, rendered: Rendered) -> None:
    """The refusal has the commands; an edit of the spec is not lost."""
    runs = ("--runs", rendered.runs, "-o", "json")
    farm("retry", JOB, "--videos", "noon", *runs)
    farm("cancel", JOB, *runs)
    edited = ("render", rendered.spec, "--serial", "-p", "output.crf=20", *runs)
    refused = farm(*edited)
    assert refused.code == 2
    (problem,) = fits(refused.json, "error")["problems"]
    assert f"farm resume {JOB} --serial --runs {rendered.runs}" in problem["remedy"]
    result = fits(farm(*edited, "--resume").json, "render")
    assert result["outcome"] == "done"
    assert result["tasks"]["committed"] > 3


def test_pause_and_resume_of_a_running_job(farm: Farm, rendered: Rendered) -> None:
    from farm.state.job_state import RUNNING, STATE_FORM, read_state
    from jobs.store.store import Store

    runs = ("--runs", rendered.runs, "-o", "json")
    store = Store.find(str(rendered.runs), JOB)
    ended = read_state(store)
    assert ended is not None
    with store.lock():
        store.save(STATE_FORM, replace(ended, outcome=RUNNING))
        assert fits(farm("pause", JOB, *runs).json, "pause")["asked"] == "pause"
        assert fits(farm("status", JOB, *runs).json, "status")["requests"] == ["pause"]
        assert fits(farm("resume", JOB, *runs).json, "resume")["needs_driver"] is False
        assert fits(farm("status", JOB, *runs).json, "status")["requests"] == []
        store.save(STATE_FORM, ended)


def test_nodes_install(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "comfy").mkdir()
    (tmp_path / "main.py").touch()
    answer = farm("nodes", "install", "--comfyui", tmp_path, "-o", "json")
    assert answer.code == 0, answer.err
    assert Path(fits(answer.json, "nodes")["nodes"]).parent == tmp_path / "custom_nodes"


def test_an_error(farm: Farm, rendered: Rendered) -> None:
    answer = farm("status", "habor", "--runs", rendered.runs, "-o", "json")
    result = fits(answer.json, "error")
    assert (answer.code, result["exit_code"], result["error"]) == (2, 2, "UsageError")
    assert JOB in result["problems"][0]["remedy"]


@pytest.mark.parametrize("command", [None, *RESULTS])
def test_schemas_are_schemas(farm: Farm, command: str | None) -> None:
    printed = farm("schema", *([command] if command else [])).json
    jsonschema.Draft202012Validator.check_schema(printed)


def undescribed(schema: Any) -> Any:
    """The schema without its prose, which may change at any time."""
    if isinstance(schema, list):
        return [undescribed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: undescribed(value) for key, value in schema.items() if not _is_prose(key, value)}


def _is_prose(key: str, value: Any) -> bool:
    return key in ("description", "title") and isinstance(value, str)


def schemas() -> dict[str, Any]:
    return {command: undescribed(result_schema(command)) for command in RESULTS}


def test_delete_and_prune(farm: Farm, rendered: Rendered) -> None:
    kept = fits(farm("delete", JOB, "--runs", rendered.runs, "--dry-run", "-o", "json").json, "delete")
    assert (kept["deleted"], len(kept["staying"]), kept["films"], kept["files"] > 0) == (False, 2, [], True)
    words = ("prune", "--older-than", "0h", "--runs", rendered.runs, "--dry-run", "-o", "json")
    pruned = fits(farm(*words).json, "prune")
    assert [job["what"] for job in pruned["jobs"]] == ["the whole run directory"]


def test_schemas_are_what_programs_rely_on() -> None:
    """To renew: `python -m tests.farm.cli.test_json`, and a line in CHANGELOG.md."""
    assert json.loads(GOLDEN.read_text()) == schemas()


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(schemas(), indent=1) + "\n")
