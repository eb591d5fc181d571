"""Ends of jobs are told: over real mail and a real webhook, at least once, a repetition under the same id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.api import render
from farm.cli.main import run
from farm.notify.addresses import addresses_of, variable
from farm.notify.endings import ENDING_FORM
from jobs.errors import UsageError
from jobs.store.store import Store
from tests.farm.notify.receivers import mailbox, webhook

ROOT = Path(__file__).parents[3]
STUDIO = variable("studio")
NOBODY = "json://127.0.0.1:9/"
"""The port that throws everything away, where nobody listens."""


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    chunk = {"generate": {"prompt": "a pier", "num_frames": 9}}
    return {
        "version": 3,
        "name": "pier",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "steps": 1},
        "videos": [{"name": "dawn", "chunks": [chunk]}],
        "run": {"notify": "studio"},
        "output": {"dir": str(tmp_path / "out")},
    }


def notices(events: list[Any]) -> list[str]:
    return [event.message for event in events if event.name == "notice"]


def rendered(job: dict[str, Any], home: Path) -> list[Any]:
    return list(render(job, runs=str(home / "runs"), serial=True))


def test_the_end_is_told_by_mail_and_webhook(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mailbox() as (box, mail), webhook() as hook:
        monkeypatch.setenv(STUDIO, f"{mail} {hook.address}")
        assert notices(rendered(job, tmp_path)) == []
    (letter,), (posted,) = box.heard, hook.heard
    assert "Subject: pier: done, 1 of 1 film" in letter
    assert hook.events[0] in letter
    assert posted["title"] == "pier: done, 1 of 1 film"
    assert str(tmp_path / "out" / "dawn.mp4") in posted["message"]


def test_an_end_is_told_once_and_another_end_again(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with webhook() as hook:
        monkeypatch.setenv(STUDIO, hook.address)
        rendered(job, tmp_path)
        rendered(job, tmp_path)
        assert len(hook.events) == 1
        assert run(["retry", "pier", "--all", "--runs", str(tmp_path / "runs")]) == 0
        rendered(job, tmp_path)
    assert len(set(hook.events)) == 2


def test_whoever_was_missed_is_told_later_and_nobody_else(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = str(tmp_path / "runs")
    with webhook() as first, webhook() as second:
        monkeypatch.setenv(STUDIO, f"{first.address} {NOBODY}")
        (fault,) = notices(rendered(job, tmp_path))
        assert fault.startswith("studio was not notified at json://127.0.0.1:9/")
        assert run(["notify", "pier", "--runs", runs]) == 3
        monkeypatch.setenv(STUDIO, f"{first.address} {second.address}")
        assert run(["notify", "pier", "--runs", runs]) == 0
    assert first.events == second.events
    assert "tries again" in capsys.readouterr().err


def test_a_driver_that_dies_while_it_tells_is_followed_by_one_that_repeats_the_id(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pier.yaml").write_text(yaml.safe_dump(job))
    runs = str(tmp_path / "runs")
    words = [sys.executable, "-m", "farm", "render", "pier.yaml", "--serial", "--runs", runs]
    drivers: list[subprocess.Popen[bytes]] = []

    def kill() -> None:
        if drivers:
            os.kill(drivers.pop().pid, signal.SIGKILL)

    with webhook(first=kill) as hook:
        monkeypatch.setenv(STUDIO, hook.address)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        driver = subprocess.Popen(words, cwd=tmp_path, stderr=subprocess.DEVNULL)
        drivers.append(driver)
        assert driver.wait(timeout=120) == -signal.SIGKILL
        assert run(["resume", "pier", "--serial", "--runs", runs]) == 0
    assert len(hook.events) == 2
    assert len(set(hook.events)) == 1


def test_failures_are_told_and_ends_by_the_user_are_not(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = tmp_path / "faults.json"
    faults.write_text('{"faults": [{"task": "dawn/00000/sample", "do": "raise"}]}')
    with webhook() as hook:
        monkeypatch.setenv(STUDIO, hook.address)
        list(render(job, runs=str(tmp_path / "runs"), serial=True, until="encode"))
        assert hook.heard == []
        job["engine"] = {"name": "fake", "fake": {"faults": str(faults)}}
        rendered(job, tmp_path)
    assert [heard["type"] for heard in hook.heard] == ["failure"]


def test_a_label_without_addresses_stops_no_render(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_NOTIFY_FILE", str(tmp_path / "none.yaml"))
    events = rendered(job, tmp_path)
    assert events[-1].outcome == "done"
    assert STUDIO in notices(events)[0]
    ending = Store.find(str(tmp_path / "runs"), "pier").recall(ENDING_FORM)
    assert ending is not None
    assert not ending.complete
    assert run(["delete", "pier", "--yes", "--runs", str(tmp_path / "runs")]) == 0
    assert not (tmp_path / "runs" / "pier").exists()


@pytest.mark.parametrize("text", ["studio: json://127.0.0.1/a", "studio: [json://127.0.0.1/a]\nother: []"])
def test_addresses_stand_in_a_file(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "notify.yaml").write_text(text)
    monkeypatch.setenv("FARM_NOTIFY_FILE", str(tmp_path / "notify.yaml"))
    assert addresses_of("studio") == ("json://127.0.0.1/a",)


@pytest.mark.parametrize("text", ["- a", "studio: 7", "studio: [7]", "studio: [", "\x00"])
def test_a_file_that_says_something_else_is_named(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notify.yaml").write_text(text)
    monkeypatch.setenv("FARM_NOTIFY_FILE", str(tmp_path / "notify.yaml"))
    with pytest.raises(UsageError, match=r"notify\.yaml"):
        addresses_of("studio")


@pytest.mark.parametrize(
    ("words", "code"),
    [(["--test", "studio"], 0), (["--test", "nobody"], 2), ([], 2), (["pier", "--test", "studio"], 2)],
)
def test_a_trial(words: list[str], code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARM_NOTIFY_FILE", str(tmp_path / "none.yaml"))
    with webhook() as hook:
        monkeypatch.setenv(STUDIO, hook.address)
        assert run(["notify", *words]) == code
    assert [heard["title"] for heard in hook.heard] == ["farm: a trial"] * (code == 0)


def test_what_is_secret_of_an_address_is_not_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(STUDIO, "json://user:hunter2@127.0.0.1:9/ nonsense://s3cret/")
    assert run(["notify", "--test", "studio"]) == 3
    said = capsys.readouterr().err
    assert "nonsense" in said
    assert "hunter2" not in said
    assert "s3cret" not in said
