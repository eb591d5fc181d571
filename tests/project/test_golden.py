"""Run directories of every version so far: this one lists, reads, reports and verifies them, and what it does
not continue it refuses with a reason; their films stay."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from farm.cli.main import run
from jobs.records import unseal
from jobs.version import VERSION
from tools.golden_run import CANCELLED_JOB, DONE_JOB, HOME, ROOT, moved

VERSIONS = sorted(path.name for path in HOME.iterdir())
JOBS = (DONE_JOB, CANCELLED_JOB)


@dataclass(frozen=True)
class Golden:
    """A copy of one version's folder, and `farm` on its runs."""

    folder: Path
    version: str
    capsys: pytest.CaptureFixture[str]

    def farm(self, *words: str) -> tuple[int, str, str]:
        code = run([*words, "--runs", str(self.folder / "runs")])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    def json(self, *words: str) -> Any:
        code, out, err = self.farm(*words, "-o", "json")
        assert code == 0, err + out
        return json.loads(out)

    @property
    def films(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.folder / "films").glob("*[!w].mp4")}


@pytest.fixture(params=VERSIONS)
def golden(request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Golden:
    folder = shutil.copytree(HOME / request.param, tmp_path / "golden")
    moved(folder, ROOT, str(folder))
    return Golden(folder, request.param, capsys)


def test_this_version_has_one() -> None:
    """To make it: `python -m tools.golden_run`."""
    assert VERSION in VERSIONS
    assert sum(path.stat().st_size for path in (HOME / VERSION).rglob("*") if path.is_file()) < 1_000_000


def test_every_document_has_its_format_and_says_who_wrote_it() -> None:
    documents = list((HOME / VERSION).rglob("*.json"))
    assert {path.name for path in documents} >= {"plan.json", "state.json", "digests.json", "seeds.json"}
    for path in documents:
        record = unseal(path.read_bytes())
        assert (record["format"] >= 1, record["farm"]) == (True, VERSION), path
    lines = [line for path in (HOME / VERSION).rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert lines
    assert all(json.loads(line)["format"] >= 1 for line in lines)


def test_it_is_listed_and_read(golden: Golden) -> None:
    rows = {row["job"]: row for row in golden.json("list")}
    assert {job: rows[job]["outcome"] for job in JOBS} == {DONE_JOB: "done", CANCELLED_JOB: "cancelled"}
    assert (rows[DONE_JOB]["committed"], rows[DONE_JOB]["total"]) == (14, 14)
    for job in JOBS:
        status = golden.json("status", job)
        assert all(video["present"] for video in status["videos"] if video["film"])
        assert not status["warnings"]
        assert golden.json("why", job)["outcome"] == rows[job]["outcome"]
        assert {record["event"] for record in golden.json("logs", job)} > {"job_planned", "task_committed"}
    story = golden.json("why", DONE_JOB, f"{DONE_JOB}-dawn/1/sample")
    assert (story["state"], story["provenance"]["worker"]) == ("committed", "serial")
    assert any(
        "with a new seed" in step["what"]
        for step in golden.json("why", DONE_JOB, f"{DONE_JOB}-noon/0/sample")["steps"]
    )


def test_it_is_reported_and_verified(golden: Golden) -> None:
    for job in JOBS:
        report = Path(golden.json("report", job)["report"])
        assert f"{job}-dawn" in report.read_text()
        verified = golden.json("verify", job)
        assert verified["damage"] == []
        assert verified["results"] > 0


@pytest.mark.parametrize("job", JOBS)
def test_resuming_it_continues_or_says_which_version_and_model_it_is_of(golden: Golden, job: str) -> None:
    films, before = golden.films, golden.json("status", job)["outcome"]
    code, _, err = golden.farm("resume", job, "--serial")
    assert code in (0, 5), err
    if code == 5:
        assert f"farm {golden.version}" in err
        assert "engine fake, model bundled" in err
        assert golden.json("status", job)["outcome"] == before
    assert {name: golden.films[name] for name in films} == films


@pytest.mark.parametrize("job", JOBS)
def test_rendering_its_spec_anew_works(golden: Golden, job: str) -> None:
    """What an engine of that version reported is not taken for this one's."""
    spec = golden.folder / "runs" / job / "spec.yaml"
    code, _, err = golden.farm("render", str(spec), "--serial", "--job-id", job, "--resume")
    assert code == 0, err
    assert golden.json("status", job)["outcome"] == "done"
