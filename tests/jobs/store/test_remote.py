"""What only object stores do: conditional requests, and servers that ignore them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from jobs.errors import StorageProblem, StoreUnusable
from jobs.store.medium import Medium
from jobs.store.remote import RemoteBackend
from jobs.store.store import Store
from tests.faulty_s3 import faulty_s3, ignoring_the_condition

if TYPE_CHECKING:
    from jobs.scratch import Scratch


@pytest.mark.parametrize(
    "url", ["http://host/runs", "ftp://host/runs", "sftp://host/runs", "github://a:b@c/d"]
)
def test_a_medium_without_exclusive_create_is_refused(url: str) -> None:
    with pytest.raises(StoreUnusable, match="s3://"):
        Store.open(url, "harbor")


def test_a_server_that_ignores_the_condition_is_refused() -> None:
    with (
        faulty_s3(ignoring_the_condition) as runs,
        pytest.raises(StoreUnusable, match="created twice"),
    ):
        Store.open(runs, "harbor")


@pytest.mark.usefixtures("s3_url")
def test_a_bucket_that_is_not_there_is_refused() -> None:
    with pytest.raises(StoreUnusable, match="Cannot write"):
        Store.open("s3://no-such-bucket/runs", "harbor")


def test_a_large_artifact_goes_up_from_a_file(s3_url: str, tmp_path: Any, copies: Scratch) -> None:
    store = Store.open(f"{s3_url}/large", "harbor")
    big = tmp_path / "big.bin"
    big.write_bytes(bytes(range(256)) * (1 << 16))
    commit = store.put("ab" * 32, 1, "bin", big, {})
    assert commit.size == 1 << 24
    assert store.local(commit, copies).read_bytes() == big.read_bytes()
    assert store.local(commit, copies) == store.local(commit, copies)
    gone = copies.folder()
    copies.clear()
    assert not gone.exists()
    assert store.local(commit, copies).read_bytes() == big.read_bytes()


def test_a_download_that_does_not_fit_is_a_storage_problem_each_time(
    tmp_path: Path,
    small_disk: Callable[[Path, int], None],
    monkeypatch: pytest.MonkeyPatch,
    copies: Scratch,
) -> None:
    """Half a file must never be taken for the artifact."""
    small_disk(tmp_path / "tmp", 1)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    store = Store.open("memory://downloads", "harbor")
    commit = store.put("ab" * 32, 1, "bin", bytes(2 << 20), {})
    for _ in range(2):
        with pytest.raises(StorageProblem, match=r"tmp/.*the disk is full .needs 2,097,152 bytes"):
            store.local(commit, copies)


def test_a_conflict_is_tried_again() -> None:
    class Response(Exception):
        response: ClassVar[dict[str, Any]] = {"Error": {"Code": "ConditionalRequestConflict"}}

    class Busy:
        calls = 0

        def _strip_protocol(self, url: str) -> str:
            return url.partition("://")[2]

        def pipe_file(self, path: str, data: bytes, mode: str) -> None:
            self.calls += 1
            if self.calls < 3:
                raise OSError(16, "conflict") from Response()

    busy = Busy()
    assert RemoteBackend(busy, "s3", "s3://bucket/runs/harbor").create("commits/x.json", b"")
    assert busy.calls == 3


def test_memory_serves_one_process_only(s3_url: str) -> None:
    with pytest.raises(StoreUnusable, match="--serial"):
        Store.open("memory://runs", "harbor").require_shared()
    Store.open(s3_url, "harbor").require_shared()


def test_a_record_that_cannot_be_read_now_is_no_damaged_one(s3_url: str) -> None:
    """Else the next render would discard what was committed."""
    store = Store.open(f"{s3_url}/unread", "harbor")
    store.put("ab" * 32, 1, "bin", b"frames", {})
    assert isinstance(store.backend, Medium)
    assert isinstance(store.backend._backend, RemoteBackend)
    remote: Any = store.backend._backend
    real = remote.filesystem

    class Failing:
        async_impl = False

        def cat(self, paths: list[str], on_error: str) -> dict[str, Any]:
            return {path: OSError("Please reduce your request rate.") for path in paths}

        def __getattr__(self, name: str) -> Any:
            return getattr(real, name)

    remote.filesystem = Failing()
    with pytest.raises(StorageProblem, match="reduce your request rate"):
        store.check()
    remote.filesystem = real
    assert store.check().damage == ()
