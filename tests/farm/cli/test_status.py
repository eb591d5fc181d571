"""What `status`, `list` and `logs` tell people."""

from __future__ import annotations

import html
import json
from pathlib import Path

from jobs.store import Store
from tests.farm.cli.conftest import JOB, Farm, Rendered


def test_a_finished_job(farm: Farm, rendered: Rendered) -> None:
    lines = farm("status", JOB, "--runs", rendered.runs).out.splitlines()
    assert lines[0] == f"{JOB}: done"
    assert any(line.startswith("  sample  ━") and line.endswith(" 4/4") for line in lines)
    assert any(line.startswith("  film dawn 3/3 segments: ") and line.endswith("dawn.mp4") for line in lines)


def test_a_film_that_waits_for_a_retry(farm: Farm, rendered: Rendered) -> None:
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    out = farm("status", JOB, "--runs", rendered.runs).out
    assert f"continue with `farm resume {JOB} --runs {rendered.runs}`" in out
    assert "noon.mp4 (of an earlier render)" in out
    why = farm("why", JOB, "noon/0/sample", "--runs", rendered.runs).out
    assert f"`farm resume {JOB} --runs {rendered.runs}` renders it" in why


def test_list_names_jobs_and_nothing_else(farm: Farm, rendered: Rendered) -> None:
    (rendered.runs / "not-a-job").mkdir()
    assert farm("list", "--runs", rendered.runs).out == (f"job     outcome  tasks\n{JOB}  done     14/14\n")


def test_a_task_tells_how_it_was_made_in_plain_words(farm: Farm, rendered: Rendered) -> None:
    out = farm("why", JOB, "dawn/1/sample", "--runs", rendered.runs).out
    assert "  exact: yes\n" in out
    assert "[]" not in out and "True" not in out


def test_list_of_nothing(farm: Farm, tmp_path: Path) -> None:
    answer = farm("list", "--runs", tmp_path)
    assert (answer.code, answer.out) == (0, f"no jobs in {tmp_path}\n")


def test_list_of_what_is_no_runs_directory(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, what in (("none", "does not exist"), ("file", "is no folder")):
        answer = farm("list", "--runs", tmp_path / name)
        assert (answer.code, answer.out) == (2, "")
        assert what in answer.err and "remedy:" in answer.err


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
    assert out.endswith("\n") and f"{JOB}: done" in out


def test_a_retry_of_a_running_job_is_refused_before_anything_is_listed(
    farm: Farm, rendered: Rendered
) -> None:
    with Store.find(str(rendered.runs), JOB).lock():
        answer = farm("retry", JOB, "--all", "--runs", rendered.runs)
    assert (answer.code, answer.out) == (5, "")
    assert "is being rendered by" in answer.err


def test_logs_of_a_task(farm: Farm, rendered: Rendered) -> None:
    lines = farm("logs", JOB, "--task", "dawn/1/sample", "--runs", rendered.runs).out.splitlines()
    assert len(lines) == 2
    assert "started dawn/00001/sample on serial" in lines[0]
    assert "committed dawn/00001/sample on serial" in lines[1]
