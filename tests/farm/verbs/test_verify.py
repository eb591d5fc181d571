"""`farm verify` finds every kind of damage and changes nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.verbs.verify import DamagedPart, verify_job
from jobs.errors import UsageError
from jobs.store.documents import PLAN, STATE

if TYPE_CHECKING:
    from tests.farm.verbs.conftest import MadeRun


def test_a_whole_job_is_ok(made: MadeRun) -> None:
    report = verify_job(made.runs, "harbor")
    assert report.ok
    assert (report.results, report.films, report.unused) == (len(made.store.commits()), 2, 0)


@pytest.mark.parametrize("how", ["truncate", "flip", "delete", "record"])
def test_a_damaged_result_is_named_by_its_task(made: MadeRun, how: str) -> None:
    task = "dawn/00001/sample"
    commit = made.store.commit(made.digests[task])
    assert commit is not None
    file = Path(made.runs) / "harbor" / commit.file
    if how == "truncate":
        file.write_bytes(file.read_bytes()[:-1])
    elif how == "flip":
        stat = file.stat()
        file.write_bytes(file.read_bytes().upper())
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif how == "delete":
        file.unlink()
    else:
        made.store.backend.replace(f"commits/{commit.digest}.json", b"{")
    report = verify_job(made.runs, "harbor")
    assert [(damage.part, damage.place) for damage in report.damage] == [(DamagedPart.RESULT, task)]
    assert verify_job(made.runs, "harbor") == report


@pytest.mark.parametrize("name", [STATE, PLAN, "digests.json", "seeds.json"])
def test_a_torn_document_is_named(made: MadeRun, name: str) -> None:
    made.store.backend.replace(name, b"{")
    report = verify_job(made.runs, "harbor")
    assert [(damage.part, damage.place) for damage in report.damage] == [(DamagedPart.DOCUMENT, name)]


def test_torn_events_and_films_are_named(made: MadeRun) -> None:
    made.store.append_event({"event": "notice"})
    made.store.append_event({"event": "notice"})
    (name,) = made.store.backend.entries("events")
    made.store.backend.replace(f"events/{name}", made.store.backend.read(f"events/{name}")[:-3])
    film = made.film("noon")
    film.write_bytes(b"another film")
    report = verify_job(made.runs, "harbor")
    assert [(damage.part, damage.place) for damage in report.damage] == [
        (DamagedPart.EVENTS, f"events/{name}"),
        (DamagedPart.FILM, str(film)),
    ]
    assert all(damage.cure for damage in report.damage)


def test_unused_files_are_counted_and_no_damage(made: MadeRun) -> None:
    made.store.backend.write(f"artifacts/{'ab' * 32}.1-00.bin", b"orphan")
    report = verify_job(made.runs, "harbor")
    assert (report.ok, report.unused) == (True, 1)


def test_an_unknown_job_is_an_error(made: MadeRun) -> None:
    with pytest.raises(UsageError):
        verify_job(made.runs, "harbors")
