"""What `status`, `list` and `logs` tell people."""

from __future__ import annotations

import html
import json
import re
import socket
from pathlib import Path
from typing import Any

from farm.api import render
from farm.events import FilmDelivered
from farm.state.job_state import STATE_FORM, JobState, read_state
from jobs.storage_problems import user_name
from jobs.store.store import Store
from tests.farm.cli.conftest import JOB, Farm, Rendered, document


def test_a_finished_job(farm: Farm, rendered: Rendered) -> None:
    lines = farm("status", JOB, "--runs", rendered.runs).out.splitlines()
    assert lines[0] == f"{JOB}: done"
    assert any(line.startswith("  sample  ━") and line.endswith(" 4/4") for line in lines)
    assert any(line.startswith("  film dawn 3/3 segments: ") and line.endswith("dawn.mp4") for line in lines)


def test_a_film_that_waits_for_a_retry(farm: Farm, rendered: Rendered) -> None:
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    out = farm("status", JOB, "--runs", rendered.runs).out
    assert f"`farm resume {JOB} --serial --runs {rendered.runs}` continues" in out
    assert "noon.mp4 (of an earlier render)" in out
    why = farm("why", JOB, "noon/0/sample", "--runs", rendered.runs).out
    assert f"`farm resume {JOB} --serial --runs {rendered.runs}` renders it" in why


def test_list_names_jobs_and_nothing_else(farm: Farm, rendered: Rendered) -> None:
    (rendered.runs / "not-a-job").mkdir()
    head, row = farm("list", "--runs", rendered.runs).out.splitlines()
    assert head.split() == ["job", "outcome", "done", "tasks", "films", "size", "began", "why"]
    assert row.split()[:6] == [JOB, "done", "100", "%", "14/14", "2/2"]
    assert re.search(r"\d+\.\d KiB  \d{4}-\d\d-\d\d \d\d:\d\d$", row)


def _asked_early(farm: Farm, folder: Path) -> tuple[list[str], dict[str, Any]]:
    """What `status` and `list` say of a job between two events of its driver, at its first preview."""
    spec, runs = document(folder / "out"), folder / "runs"
    seen: list[str] = []
    row: dict[str, Any] = {}
    for event in render(spec, runs=str(runs), serial=True):
        if isinstance(event, FilmDelivered) and event.preview and not seen:
            seen = farm("status", JOB, "--runs", runs).out.splitlines()
            (row,) = farm("list", "--runs", runs, "-o", "json").json
    return seen, row


def test_a_running_job_says_how_long_it_takes_and_where_to_look(farm: Farm, tmp_path: Path) -> None:
    """Films are finished by a thread of their own: on a busy machine one may be before `status` asks."""
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        seen, row = _asked_early(farm, folder)
        if row["films"] == 0:
            break
    assert seen[0] == f"{JOB}: running"
    assert re.search(r"^  elapsed 0:\d\d(, ETA \d:\d\d)?$", seen[3])
    assert seen[2] == f"  rendered by {user_name()} on {socket.gethostname()}"
    assert any(line.endswith(f"not finished; preview {folder}/out/dawn.preview.mp4") for line in seen)
    assert (row["total"], row["of_films"], row["films"]) == (14, 2, 0)


def test_a_spec_that_was_edited_since_is_named(farm: Farm, rendered: Rendered) -> None:
    """`resume` renders the stored one, `render` and `submit` the edited one: each says which."""
    assert "this renders" not in farm("render", rendered.spec, "--serial", "--runs", rendered.runs).err
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    assert "this renders" not in farm("resume", JOB, "--serial", "--runs", rendered.runs).err
    rendered.spec.write_text(rendered.spec.read_text().replace("the fog lifts", "the sun sets"))
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    told = farm("resume", JOB, "--serial", "--runs", rendered.runs).err
    command = f"farm render {rendered.spec} --serial --runs {rendered.runs}"
    assert f"this renders the spec that is stored with the job; {rendered.spec} was edited since" in told
    assert f"`{command}` renders it as it is now" in told
    told = farm(*command.split()[1:]).err
    assert f"this renders {rendered.spec} as it is now, which differs" in told
    assert "this renders" not in farm(*command.split()[1:], "--serial").err


def test_a_task_tells_how_it_was_made_in_plain_words(farm: Farm, rendered: Rendered) -> None:
    out = farm("why", JOB, "dawn/1/sample", "--runs", rendered.runs).out
    assert "  exact: yes\n" in out
    assert "[]" not in out
    assert "True" not in out


def test_list_of_nothing(farm: Farm, tmp_path: Path) -> None:
    answer = farm("list", "--runs", tmp_path)
    assert (answer.code, answer.out) == (0, f"no jobs in {tmp_path}\n")


def test_list_of_what_is_no_runs_directory(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("none", "does not exist"), ("file", "is no folder")):
        answer = farm("list", "--runs", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert what in answer.err
        assert "remedy:" in answer.err


def test_list_and_status_agree_after_a_retry(farm: Farm, rendered: Rendered) -> None:
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    stages = farm("status", JOB, "--runs", rendered.runs, "-o", "json").json["stages"]
    done, total = (sum(stage[key] for stage in stages) for key in ("committed", "total"))
    (row,) = farm("list", "--runs", rendered.runs, "-o", "json").json
    assert (row["committed"], row["total"]) == (done, total) == (11, 14)


def test_a_task_that_was_voided_says_so(farm: Farm, rendered: Rendered) -> None:
    farm("retry", JOB, "--videos", "dawn", "--chunks", "1", "--reseed", "--runs", rendered.runs)
    why = farm("why", JOB, "dawn/1/sample", "--runs", rendered.runs).out
    assert "voided: chosen by farm retry, with a new seed" in why
    why = farm("why", JOB, "dawn/2/sample", "--runs", rendered.runs).out
    assert "voided: it depends on what farm retry chose" in why
    assert "voided dawn/00001/sample" in farm("logs", JOB, "--runs", rendered.runs).out
    report = Path(farm("report", JOB, "--runs", rendered.runs).out.strip())
    assert "with a new seed" in report.read_text()


def test_previews_in_the_log_have_a_path(farm: Farm, rendered: Rendered) -> None:
    log = next((rendered.folder / "events").iterdir())
    film = {"event": "film_delivered", "at_s": 1.0, "video": "dawn", "path": "/x.mp4", "sha256": "",
            "frames": 1, "fps": 25.0, "preview": True}  # fmt: skip
    log.write_text(json.dumps(film) + "\n")
    out = farm("logs", JOB, "--runs", rendered.runs).out
    assert out.endswith(" preview of dawn /x.mp4\n")


def test_lines_of_another_version_and_damaged_ones_are_named_once(farm: Farm, rendered: Rendered) -> None:
    """By every command that reads the log; what can be read is shown."""
    log = next((rendered.folder / "events").iterdir())
    first, *rest = log.read_text().splitlines()
    other = {**json.loads(first), "colour": "blue"}
    other.pop("format")
    log.write_text(
        "\n".join([json.dumps(other), "{}", '{"event": "melted", "at_s": 1.0}', *rest[:-1]]) + "\n{"
    )
    page = rendered.folder / "report.html"
    for command in ("logs", "status", "why", "report"):
        answer = farm(command, JOB, "--runs", rendered.runs)
        assert answer.code == 0, answer.err
        told = answer.err if command != "report" else html.unescape(page.read_text())
        assert told.count(f"events/{log.name} line 2: event: is missing; passed over") == 1, command
        assert told.count("line 3: this version knows no event 'melted'") == 1
    shown = farm("logs", JOB, "--runs", rendered.runs, "-o", "json").json
    assert len(shown) == len(rest)
    assert farm("verify", JOB, "--runs", rendered.runs).code == 3
    assert farm("render", rendered.spec, "--serial", "--runs", rendered.runs).code == 0


def test_watching_ends_with_a_whole_line(farm: Farm, rendered: Rendered) -> None:
    out = farm("status", JOB, "--watch", "--runs", rendered.runs).out
    assert out.endswith("\n")
    assert f"{JOB}: done" in out


def test_a_retry_reaches_the_driver_of_a_running_job(farm: Farm, rendered: Rendered) -> None:
    store = Store.find(str(rendered.runs), JOB)
    before = read_state(store)
    assert before is not None
    with store.lock():
        store.save(STATE_FORM, JobState(JOB))
        answer = farm("retry", JOB, "--all", "--runs", rendered.runs)
        store.save(STATE_FORM, before)
    assert answer.code == 0
    assert "the driver that renders the job makes" in answer.out
    (asked,) = store.asked_retries()
    store.answer_retry(asked)


def test_logs_of_a_task(farm: Farm, rendered: Rendered) -> None:
    lines = farm("logs", JOB, "--task", "dawn/1/sample", "--runs", rendered.runs).out.splitlines()
    assert len(lines) == 2
    assert "started dawn/00001/sample on serial" in lines[0]
    assert "committed dawn/00001/sample on serial" in lines[1]
