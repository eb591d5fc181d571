"""What the first worker said of its engine, kept for later renders, and held against what the job asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from farm.session import JobSession, Scope
from jobs.errors import CannotRun
from jobs.load import load_spec

REPORT: dict[str, Any] = {
    "fingerprint": {"engine": "fake"},
    "modes": {},
    "sources": {"packages": {}, "files": {}},
    "samplers": ["euler", "euler_ancestral"],
}


def session(tmp_path: Path, **upscale: Any) -> JobSession:
    data: dict[str, Any] = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "upscale": {"steps": 2, **upscale},
        "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a harbor"}}]}],
        "output": {"dir": str(tmp_path / "out")},
    }
    return JobSession(load_spec(data), Scope(str(tmp_path / "runs")))


def test_a_sampler_that_the_engine_lacks_is_refused_before_anything_is_rendered(tmp_path: Path) -> None:
    with session(tmp_path, sampler="eular") as job:
        list(job.begin())
        with pytest.raises(CannotRun, match=r"dawn/.*/upscale: .* no sampler 'eular': .* such as euler\."):
            job.resolve(REPORT)


def test_it_is_refused_from_what_an_earlier_render_learned(tmp_path: Path) -> None:
    with session(tmp_path) as job:
        list(job.begin())
        assert job.resolve(REPORT)
    with session(tmp_path) as job:
        list(job.begin())
        assert job.resolve()
    with session(tmp_path, sampler="eular") as job:
        list(job.begin())
        with pytest.raises(CannotRun, match="eular"):
            job.resolve()


def test_an_engine_that_lists_no_samplers_is_asked_for_any(tmp_path: Path) -> None:
    with session(tmp_path, sampler="eular") as job:
        list(job.begin())
        assert job.resolve({**REPORT, "samplers": []})
