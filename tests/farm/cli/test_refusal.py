"""A submitted job that is refused leaves a trace, and nothing of a job that was there."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.submission.refusal import SUBMITTED
from farm.verbs.listing import list_runs
from tests.farm.cli.conftest import JOB, Farm, Rendered


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SUBMITTED, "{}")


@pytest.mark.usefixtures("submitted")
@pytest.mark.parametrize("fault", ["videos[0].chunks[0].generate.num_frames=18", "output.dir=/proc/films"])
def test_list_and_why_say_that_it_was_refused(farm: Farm, spec: Path, tmp_path: Path, fault: str) -> None:
    """By the spec's rules, or by what the machine says only when the job is taken up."""
    runs = tmp_path / "runs"
    refused = farm("render", spec, "--serial", "--runs", runs, "-p", fault)
    assert refused.code in (2, 5)
    (row,) = list_runs(str(runs))
    assert (row.job, row.outcome) == (JOB, "refused")
    assert row.started_s
    assert fault.partition("=")[2].strip("/") in row.reason
    why = farm("why", JOB, "--runs", runs).out
    assert why.startswith(f"{JOB}: refused, ")
    assert f"farm render SPEC --runs {runs}" in why
    assert f"{JOB}: refused" in farm("status", JOB, "--runs", runs).out
    assert farm("render", spec, "--serial", "--runs", runs).code == 0
    assert [row.outcome for row in list_runs(str(runs))] == ["done"]


@pytest.mark.usefixtures("submitted")
def test_a_spec_without_a_name_is_listed_by_its_file(farm: Farm, tmp_path: Path) -> None:
    spec = tmp_path / "my film.yaml"
    spec.write_text("videos: [")
    assert farm("render", spec, "--serial", "--runs", tmp_path / "runs").code == 2
    assert [(row.job, row.outcome) for row in list_runs(str(tmp_path / "runs"))] == [("my-film", "refused")]


@pytest.mark.usefixtures("submitted")
def test_a_job_that_was_rendered_stays_as_it_is(farm: Farm, rendered: Rendered) -> None:
    before = (rendered.folder / "state.json").read_bytes()
    words = ("render", rendered.spec, "--serial", "--runs", rendered.runs)
    assert farm(*words, "-p", "videos[0].chunks[0].generate.num_frames=18").code == 2
    assert (rendered.folder / "state.json").read_bytes() == before
    assert [row.outcome for row in list_runs(str(rendered.runs))] == ["done"]
    assert "a later attempt was refused: videos[0]" in farm("why", JOB, "--runs", rendered.runs).out
    assert farm(*words).code == 0
    assert "refused" not in farm("why", JOB, "--runs", rendered.runs).out


def test_what_is_refused_in_a_terminal_is_only_said(farm: Farm, spec: Path, tmp_path: Path) -> None:
    farm(
        "render",
        spec,
        "--serial",
        "--runs",
        tmp_path / "runs",
        "-p",
        "videos[0].chunks[0].generate.num_frames=18",
    )
    assert not (tmp_path / "runs").exists()
