"""Artifacts and commits, on every medium."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobs.errors import CorruptArtifact, StorageProblem, StoreUnusable, UsageError
from jobs.store.commits import Commit, decode_commit, encode_commit
from jobs.store.opening import open_backend, probe
from jobs.store.store import Store, record_key

if TYPE_CHECKING:
    from jobs.scratch import Scratch

DIGEST = "ab" * 32
OTHER = "cd" * 32


def put(store: Store, data: bytes = b"frames", digest: str = DIGEST, attempt: int = 1) -> Commit:
    return store.put(digest, attempt, "safetensors", data, {"worker": "w1", "exact": True})


def test_a_result_counts_once_it_is_committed(store: Store, copies: Scratch) -> None:
    assert store.commit(DIGEST) is None
    commit = put(store)
    assert (commit.digest, commit.size, commit.sha256) == (DIGEST, 6, hashlib.sha256(b"frames").hexdigest())
    assert commit.provenance == {"worker": "w1", "exact": True}
    assert store.commit(DIGEST) == commit
    assert store.commits() == {DIGEST: commit}
    assert store.read(commit) == b"frames"
    assert store.local(commit, copies).read_bytes() == b"frames"


def test_a_commit_crosses_processes(store: Store, runs_url: str) -> None:
    commit = pickle.loads(pickle.dumps(put(store)))
    assert decode_commit(encode_commit(commit), DIGEST) == commit
    assert Store.open(runs_url, "harbor").read(commit) == b"frames"


def test_a_file_is_committed_like_bytes(store: Store, tmp_path: Path) -> None:
    segment = tmp_path / "segment.mov"
    segment.write_bytes(b"media")
    commit = store.put(DIGEST, 1, "mov", segment, {})
    assert commit.file.endswith(".mov")
    assert store.read(commit) == b"media"


def test_an_empty_artifact_is_a_result(store: Store) -> None:
    commit = put(store, b"")
    assert commit.size == 0
    assert store.read(commit) == b""
    assert store.commits() == {DIGEST: commit}


def test_the_second_attempt_gets_the_first_ones_commit(store: Store) -> None:
    first, second = put(store), put(store, b"other!", attempt=2)
    assert second == first
    assert store.read(second) == b"frames"
    assert len(store.backend.entries("artifacts")) == 1


def test_one_of_many_writers_wins(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        commits = list(pool.map(lambda n: put(store, b"%d" % n, attempt=n), range(16)))
    assert len({commit.file for commit in commits}) == 1
    assert store.read(commits[0]) == store.read(store.commits()[DIGEST])
    assert len(store.backend.entries("artifacts")) == 1


@pytest.mark.parametrize("data", [b"", b"fram", b"Frames"])
def test_a_damaged_artifact_is_named_and_not_used(
    store: Store, runs_url: str, data: bytes, copies: Scratch
) -> None:
    commit = put(store)
    store.backend.replace(commit.file, data)
    reader = Store.open(runs_url, "harbor")
    with pytest.raises(CorruptArtifact, match=r"rendered again\. If this repeats, check the disk") as caught:
        reader.read(commit)
    assert pickle.loads(pickle.dumps(caught.value)).digest == DIGEST
    with pytest.raises(CorruptArtifact):
        reader.local(commit, copies)
    checked = reader.check(everything=True)
    assert checked.commits == {}
    assert [digest for digest, _ in checked.damage] == [DIGEST]


def test_a_deleted_artifact_is_damage(store: Store) -> None:
    commit = put(store)
    store.backend.delete(commit.file)
    assert store.check().damage == ((DIGEST, "is missing"),)
    with pytest.raises(CorruptArtifact, match="is missing"):
        store.read(commit)


def test_altered_artifacts_are_found_at_the_start_without_hashing_the_rest(store: Store) -> None:
    good, bad = put(store), put(store, digest=OTHER)
    store.backend.replace(bad.file, b"FRAMES")
    assert store.check().commits == {DIGEST: good}


def test_decay_that_leaves_no_mark_is_found_before_use(tmp_path: Path, copies: Scratch) -> None:
    store = Store.open(str(tmp_path), "harbor")
    commit = put(store)
    file = tmp_path / "harbor" / commit.file
    file.write_bytes(b"fRames")
    os.utime(file, ns=(int(commit.stamp), int(commit.stamp)))
    reader = Store.open(str(tmp_path), "harbor")
    assert reader.commits() == {DIGEST: commit}
    for use in (reader.read, lambda found: reader.local(found, copies)):
        with pytest.raises(CorruptArtifact):
            use(commit)
    assert reader.check(everything=True).commits == {}


@pytest.mark.parametrize("damage", ["", "{", "truncate", "flip", "other"])
def test_a_torn_record_is_no_commit(store: Store, damage: str) -> None:
    put(store)
    key = record_key(DIGEST)
    whole = store.backend.read(key)
    torn = {"truncate": whole[: len(whole) // 2], "flip": whole.replace(b"true", b"null")}
    store.backend.replace(key, torn.get(damage, damage.encode()))
    assert store.commit(DIGEST) is None
    assert store.check().damage == ((DIGEST, "the commit record is torn"),)
    assert put(store, attempt=2) == store.commit(DIGEST)


def test_a_record_under_another_name_is_no_commit(store: Store) -> None:
    put(store)
    store.backend.replace(record_key(OTHER), store.backend.read(record_key(DIGEST)))
    assert store.commit(OTHER) is None


def test_a_commit_whose_artifact_is_gone_gives_way(store: Store) -> None:
    first = put(store)
    store.backend.delete(first.file)
    second = put(store, b"again", attempt=2)
    assert second.file != first.file
    assert store.read(store.commits()[DIGEST]) == b"again"


def test_a_lost_answer_to_our_own_create_is_not_a_defeat(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = store.backend.create
    monkeypatch.setattr(store.backend, "create", lambda key, data: create(key, data) and False)
    commit = put(store)
    assert store.read(commit) == b"frames"
    assert store.commit(DIGEST) == commit


def test_a_record_that_can_neither_be_created_nor_read_is_a_storage_problem(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.backend, "create", lambda _key, _data: False)
    with pytest.raises(StorageProblem, match=f"commits/{DIGEST}.json: .* cannot be created or read"):
        put(store)
    assert store.backend.entries("artifacts") == {}


def test_voided_results_are_gone(store: Store) -> None:
    put(store)
    kept = put(store, digest=OTHER)
    assert store.void([DIGEST, "ef" * 32]) == 1
    assert store.commits() == {OTHER: kept}
    assert len(store.backend.entries("artifacts")) == 1


def test_a_torn_record_can_be_voided(store: Store) -> None:
    put(store)
    store.backend.replace(record_key(DIGEST), b"{")
    assert store.void([DIGEST]) == 1
    assert store.check().damage == ()


def test_eviction_keeps_the_history_and_not_the_bytes(store: Store) -> None:
    commit = put(store)
    store.evict(dataclasses.replace(commit, provenance={}))
    assert store.commit(DIGEST) is None
    assert store.commits() == {}
    assert store.evicted() == {DIGEST: commit}
    assert store.backend.entries("artifacts") == {}
    again = put(store, attempt=2)
    assert store.commits() == {DIGEST: again}
    assert store.void([DIGEST]) == 1
    assert store.evicted() == {}


def test_sweep_removes_what_no_commit_names(store: Store) -> None:
    commit = put(store)
    store.backend.write(f"artifacts/{OTHER}.1-0123.safetensors", b"orphan")
    assert store.sweep(store.check()) == 1
    assert store.read(commit) == b"frames"


def test_an_unknown_job_names_the_nearest(store: Store, runs_url: str) -> None:
    put(store)
    open_backend(runs_url, "harbour-durations").write("table.json", b"{}")
    with pytest.raises(UsageError, match=r"did you mean harbor\?") as refusal:
        Store.find(runs_url, "harbour")
    assert refusal.value.problems[0].value == "'harbour'"
    with pytest.raises(UsageError):
        Store.find(f"{runs_url}-elsewhere", "harbor")
    assert Store.find(runs_url, "harbor").commits() == store.commits()


def test_a_medium_that_refuses_in_its_own_words_is_quoted(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_key: str, _data: bytes) -> bool:
        raise StorageProblem("closed for maintenance")

    monkeypatch.setattr(store.backend, "create", refuse)
    with pytest.raises(StoreUnusable, match=r"Cannot write to the store .*: closed for maintenance\."):
        probe(store.backend)


def test_names_that_are_near_are_all_told(tmp_path: Path) -> None:
    for name in ("harbor-1", "harbor-2"):
        put(Store.open(str(tmp_path), name))
    with pytest.raises(UsageError, match=r"did you mean harbor-[12], harbor-[12]\?"):
        Store.find(str(tmp_path), "harbor")


def test_a_folder_that_is_no_job_is_not_listed(tmp_path: Path) -> None:
    put(Store.open(str(tmp_path), "harbor"))
    for name in ("a film", ".trash", "empty"):
        (tmp_path / name).mkdir()
    assert [store.job_id for store in Store.every(str(tmp_path))] == ["harbor"]


@pytest.mark.parametrize("job_id", ["", "..", "a/b", "/etc", ".hidden", "a" * 200, "tab\t", "new\n"])
def test_a_job_id_cannot_leave_the_runs_directory(tmp_path: Path, job_id: str) -> None:
    with pytest.raises(UsageError, match="job id"):
        Store.open(str(tmp_path), job_id)
    assert list(tmp_path.iterdir()) == []


def test_a_suffix_is_no_path(store: Store) -> None:
    with pytest.raises(ValueError, match="suffix"):
        store.put(DIGEST, 1, "../x", b"", {})
