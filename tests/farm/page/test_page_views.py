"""The list of jobs, as HTML."""

from __future__ import annotations

from pathlib import Path

from farm.api import render
from farm.page.actions import Actions
from farm.page.config import PageConfig
from farm.page.drivers import Drivers
from farm.page.reading import Reader
from farm.page.views import Views


def test_a_job_that_cannot_be_read_has_a_reason_and_no_numbers(tmp_path: Path) -> None:
    chunk = {"generate": {"prompt": "a pier", "num_frames": 17}}
    spec = {
        "version": 3,
        "name": "pier",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": [chunk]}],
        "output": {"dir": str(tmp_path / "out")},
    }
    runs = tmp_path / "runs"
    list(render(spec, runs=str(runs), serial=True))
    config = PageConfig(str(runs))
    reader = Reader(config)
    drivers = Drivers(config)
    views = Views(reader, Actions(reader, drivers), drivers)
    (section,) = views.jobs()
    assert "1/1</td>" in section.html
    (runs / "pier" / "state.json").write_text("{}")
    (section,) = views.jobs()
    reason = section.html.partition('class="soft why">')[2].partition("<")[0]
    assert reason.endswith("…")
    assert " " in reason[-20:]
    assert "0/0" not in section.html
    assert "<progress" not in section.html
    drivers.close()
