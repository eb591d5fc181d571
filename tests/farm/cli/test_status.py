"""What `status`, `list` and `logs` tell people."""

from __future__ import annotations

from pathlib import Path

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
    answer = farm("list", "--runs", tmp_path / "none")
    assert (answer.code, answer.out) == (0, f"no jobs in {tmp_path / 'none'}\n")


def test_logs_of_a_task(farm: Farm, rendered: Rendered) -> None:
    lines = farm("logs", JOB, "--task", "dawn/1/sample", "--runs", rendered.runs).out.splitlines()
    assert len(lines) == 2
    assert "started dawn/00001/sample on serial" in lines[0]
    assert "committed dawn/00001/sample on serial" in lines[1]
