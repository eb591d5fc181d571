"""The list of jobs, as HTML."""

from __future__ import annotations

from pathlib import Path

from farm.api import render
from farm.page.actions import Actions
from farm.page.config import PageConfig
from farm.page.drivers import Drivers
from farm.page.reading import Reader
from farm.page.views import Views
from farm.session.retrying import ask
from farm.state.job_state import DONE
from farm.verbs.pick import pick
from jobs.tasks.retry import Selection


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


def test_a_finished_job_is_resumed_for_what_no_driver_took_up(tmp_path: Path) -> None:
    shots = [{"name": "pier", "seconds": 0.4, "prompt": "a pier", "takes": 2}]
    spec = {
        "version": 3,
        "name": "pier",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64},
        "videos": [{"name": "dawn", "shots": shots}],
        "output": {"dir": str(tmp_path / "out")},
    }
    runs = str(tmp_path / "runs")
    list(render(spec, runs=runs, serial=True))
    config = PageConfig(runs)
    reader, drivers = Reader(config), Drivers(config)
    actions = Actions(reader, drivers)
    assert "resume" not in actions.offered(reader.open("pier"), DONE, approves=False)
    pick(runs, "pier", "pier", 2)
    assert "resume" in actions.offered(reader.open("pier"), DONE, approves=False)
    pick(runs, "pier", "pier", 1)
    assert "resume" not in actions.offered(reader.open("pier"), DONE, approves=False)
    ask(reader.open("pier").store, Selection())
    assert "resume" in actions.offered(reader.open("pier"), DONE, approves=False)
    drivers.close()
