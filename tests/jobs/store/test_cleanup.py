"""Which files of a run directory may be deleted as what."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from jobs.store.cleanup import other_files, result_files, unreferenced_files
from jobs.store.documents import STATE, UserRequest
from jobs.store.store import LEFTOVER_S, Store

WANTED, STALE, GONE, ORPHAN = ("ab" * 32, "cd" * 32, "ef" * 32, "01" * 32)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A job with a result that is wanted, one that is not, one whose bytes were given up, and documents."""
    made = Store.open(str(tmp_path), "harbor")
    for digest in (WANTED, STALE, GONE):
        made.put(digest, 1, "bin", digest.encode(), {})
    made.evict(made.commits()[GONE])
    made.write_json(STATE, {"outcome": "done"})
    made.override({("dawn", 3): 5})
    made.suspect([STALE])
    made.request(UserRequest.PAUSE)
    made.append_event({"event": "paused"})
    return made


def sizes(store: Store) -> dict[str, int]:
    root = Path(store.url)
    return {str(file.relative_to(root)): file.stat().st_size for file in root.rglob("*") if file.is_file()}


def test_every_file_of_the_farm_is_a_result_or_another_one(store: Store) -> None:
    there, results, others = sizes(store), result_files(store), other_files(store)
    assert sorted(results.keys + others.keys) == sorted(there)
    assert {key.split("/")[0] for key in results.keys} == {"commits", "evicted", "artifacts"}
    for files in (results, others):
        assert files.bytes == sum(there[key] for key in files.keys)


def test_a_file_of_the_users_is_neither(store: Store) -> None:
    before = result_files(store), other_files(store)
    for name in ("notes.txt", "artifacts/notes.txt", "commits/list.json", "requests/Mine.json"):
        (Path(store.url) / name).write_text("mine")
    assert (result_files(store), other_files(store)) == before


def test_records_go_before_the_artifacts_that_they_name(store: Store) -> None:
    folders = [key.split("/")[0] for key in result_files(store).keys]
    assert folders == sorted(folders, key=["commits", "evicted", "artifacts"].index)


def test_what_no_wanted_result_needs_is_unreferenced(store: Store) -> None:
    artifacts = {digest: store.commits()[digest].file for digest in (WANTED, STALE)}
    orphan = f"artifacts/{ORPHAN}.1-00.bin"
    store.backend.write(orphan, b"orphan")
    for name, age_s in (("old", LEFTOVER_S + 60), ("new", LEFTOVER_S - 60)):
        hidden = Path(store.url) / f".{name}.0123456789ab"
        hidden.touch()
        os.utime(hidden, (time.time() - age_s,) * 2)
    found = unreferenced_files(store, {WANTED})
    assert set(found.keys) == {
        f"commits/{STALE}.json", f"evicted/{GONE}.json", artifacts[STALE], orphan, ".old.0123456789ab",
    }  # fmt: skip
    assert not {f"commits/{WANTED}.json", artifacts[WANTED]} & set(found.keys)
