"""A job that was begun with other software: resumed, it is refused; rendered anew, it says what changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.engines.fake import VERSION
from jobs.store.documents import DIGESTS
from jobs.store.store import Store
from tests.farm.cli.conftest import JOB, Farm, Rendered

OLD_NUMPY = {
    "engine": {"engine": "fake", "version": VERSION, "numpy": "0.1"},
    "sources": {"packages": {"numpy": "0.1"}, "files": {}},
}
OTHER: list[tuple[dict[str, Any], str]] = [
    (OLD_NUMPY, "numpy was 0.1 and is "),
    ({"media": {"ffmpeg": "of old"}}, "ffmpeg was of old and is "),
    ({"stages": {"sample": 1}}, "the sample stage's version was 1 and is "),
]


@pytest.mark.parametrize(("was", "told"), OTHER, ids=["packages", "media", "stages"])
def test_it_is_not_made_again_unasked(farm: Farm, rendered: Rendered, was: dict[str, Any], told: str) -> None:
    store, runs = Store.find(str(rendered.runs), JOB), ("--runs", rendered.runs)
    store.write_json(DIGESTS, {**(store.read_json(DIGESTS) or {}), "farm": "0.0.9", **was})
    paths = [Path(video["film"]["path"]) for video in farm("status", JOB, *runs, "-o", "json").json["videos"]]
    films = [path.stat().st_mtime_ns for path in paths]
    refused = farm("resume", JOB, "--serial", *runs)
    assert refused.code == 5
    assert f"job {JOB} was rendered by farm 0.0.9 with engine fake, model bundled: {told}" in refused.err
    assert f"`farm render SPEC --serial --runs {rendered.runs} --resume`" in refused.err
    assert farm("status", JOB, *runs).out.startswith(f"{JOB}: done")
    assert [path.stat().st_mtime_ns for path in paths] == films
    anew = farm("render", rendered.spec, "--serial", "--resume", *runs)
    assert anew.code == 0
    assert told in anew.err
    assert "what depends on that is made again" in anew.err
    assert farm("resume", JOB, "--serial", *runs).code == 0
