"""The nonce tells shared storage from a directory that merely has the same name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.storage import StorageProof, plant, unseen, uproot
from jobs.errors import StoreUnusable


def test_shared_directories_leave_nothing_behind(tmp_path: Path) -> None:
    proof = plant([str(tmp_path / "runs"), str(tmp_path / "out")])
    assert unseen(proof) == []
    uproot(proof)
    assert list((tmp_path / "runs").iterdir()) == []
    assert list((tmp_path / "out").iterdir()) == []


def test_missing_file_is_not_shared(tmp_path: Path) -> None:
    proof = plant([str(tmp_path)])
    uproot(proof)
    (line,) = unseen(proof)
    assert "not shared" in line
    assert str(tmp_path) in line


def test_same_name_other_contents(tmp_path: Path) -> None:
    proof = plant([str(tmp_path)])
    (line,) = unseen(replace(proof, nonce="another"))
    assert "another directory" in line


def test_inputs_must_be_there_with_the_same_size(tmp_path: Path) -> None:
    image = tmp_path / "first.png"
    image.write_bytes(b"1234")
    proof = plant([], [str(image)])
    assert unseen(proof) == []
    image.write_bytes(b"12345")
    assert "5 bytes there and 4 bytes" in unseen(proof)[0]
    image.unlink()
    assert "first.png" in unseen(proof)[0]


def test_directory_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="--runs"):
        plant([str(tmp_path / "file" / "runs")])


def test_memory_store_of_another_process_is_not_seen() -> None:
    proof = StorageProof(("memory://runs/.farm-probe-x",), "x")
    assert "not shared" in unseen(proof)[0]
