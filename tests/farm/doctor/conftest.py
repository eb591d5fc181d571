"""`farm doctor` on a machine in which one thing was really broken."""

from __future__ import annotations

import contextlib
import io
import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.media.ffmpeg import find_ffmpeg
from farm.cli.main import run

Report = list[dict[str, str]]
Doctor = Callable[..., Report]


@pytest.fixture
def doctor(tmp_path: Path) -> Doctor:
    """Examines this machine, or a spec on it; the exit code has to agree with what is found."""

    def examine(data: dict[str, Any] | None = None, *words: object) -> Report:
        arguments = list(map(str, words))
        if data is not None:
            (tmp_path / "film.yaml").write_text(yaml.safe_dump(data))
            arguments.append(str(tmp_path / "film.yaml"))
        if "--runs" not in arguments:
            arguments += ["--runs", str(tmp_path / "runs")]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            code = run(["doctor", *arguments, "--output", "json"])
        result = json.loads(out.getvalue())
        failed = any(finding["level"] == "fail" for finding in result["findings"])
        assert (code, result["able"]) == ((5, False) if failed else (0, True))
        assert all(finding["fix"] for finding in result["findings"] if finding["level"] != "ok")
        return result["findings"]

    return examine


def found(report: Report, check: str, level: str) -> dict[str, str]:
    """The one finding of that check and level."""
    (finding,) = [one for one in report if (one["check"], one["level"]) == (check, level)]
    return finding


def film(out: Path, **changes: Any) -> dict[str, Any]:
    """A short film on the fake engine."""
    return {
        "version": 1,
        "name": "film",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [{"name": "v", "chunks": [{"generate": {"prompt": "a", "num_frames": 17}}]}],
        "output": {"dir": str(out)},
        **changes,
    }


@pytest.fixture
def with_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Makes FARM_FFMPEG a shell script; `$real` is the ffmpeg of this machine."""
    real = find_ffmpeg().path

    def choose(script: str) -> None:
        path = tmp_path / "ffmpeg"
        path.write_text(f"#!/bin/sh\nreal={real}\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setenv("FARM_FFMPEG", str(path))
        find_ffmpeg.cache_clear()

    yield choose
    find_ffmpeg.cache_clear()
