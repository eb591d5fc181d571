"""What the first worker said of its engine, kept for later renders, and held against what the job asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.media.ffmpeg import media_fingerprint
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.state.fingerprint import difference
from jobs.errors import CannotRun
from jobs.loading.load import load_spec

REPORT: dict[str, Any] = {
    "fingerprint": {"engine": "fake"},
    "modes": {},
    "sources": {"packages": {}, "files": {}},
    "samplers": ["euler", "euler_ancestral"],
}


def session(tmp_path: Path, threads: int = 2, **upscale: Any) -> JobSession:
    data: dict[str, Any] = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "upscale": {"steps": 2, **upscale},
        "run": {"threads": threads},
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


def test_a_guider_that_this_version_of_the_engine_lacks_is_refused_before_and_later(tmp_path: Path) -> None:
    guider = {"name": "stg", "params": {"modality": 3.0}}
    has = {"cfg": [], "stg": ["stg_scale", "rescale", "blocks"]}
    with session(tmp_path) as job:
        list(job.begin())
        assert job.resolve({**REPORT, "guiders": has})
    for told in (REPORT | {"guiders": has}, None):
        with session(tmp_path, guider=guider) as job:
            list(job.begin())
            with pytest.raises(CannotRun, match="guider stg has no parameter 'modality'"):
                job.resolve(told)
    with session(tmp_path / "newer", guider=guider) as job:
        list(job.begin())
        assert job.resolve({**REPORT, "guiders": {**has, "stg": ["modality"]}})


def test_other_threads_are_another_fingerprint(tmp_path: Path) -> None:
    threads = {**REPORT, "fingerprint": {"engine": "fake", "threads": 2}}
    with session(tmp_path) as job:
        list(job.begin())
        assert job.resolve(threads)
    with session(tmp_path) as job:
        list(job.begin())
        assert job.resolve()
    with session(tmp_path, threads=4) as job:
        list(job.begin())
        assert not job.resolve()


def test_a_worker_is_compared_by_what_it_reports() -> None:
    media = media_fingerprint()
    job = {"engine": "fake", "compute": "H100"}
    assert difference({"fingerprint": job, "media": media}, job) == ""
    assert difference({"fingerprint": {}, "media": media}, job) == "", "it hosts no models"
    other = difference({"fingerprint": {**job, "compute": "A100"}, "media": media}, job)
    assert other == "compute is A100 there and H100 in this job"
    key = next(iter(media))
    assert difference({"fingerprint": job, "media": {**media, key: "another"}}, job).startswith(f"{key} is ")
