"""The ways to reach Ray that a render cannot take."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster.health import cluster_health
from cluster.session import _quiet, require_driver
from farm.api import render
from jobs.errors import CannotRun

SPEC = {
    "version": 1,
    "name": "harbor",
    "engine": {"name": "fake"},
    "videos": [{"name": "dawn", "chunks": [{"generate": {"prompt": "a harbor"}}]}],
}


@pytest.mark.parametrize("address", ["ray://head.farm:10001", "ray://head.farm"])
def test_the_ray_client_is_refused_with_what_to_use_instead(address: str) -> None:
    with pytest.raises(CannotRun) as caught:
        require_driver(address)
    assert "submit the spec with --address http://head.farm:8265" in str(caught.value)
    assert "--address head.farm:6379" in str(caught.value)


@pytest.mark.parametrize("address", [None, "local", "auto", "10.0.0.1:6379"])
def test_a_driver_is_not(address: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    require_driver(address)


def test_a_client_that_the_caller_connected_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connected = SimpleNamespace(ray=SimpleNamespace(is_connected=lambda: True))
    monkeypatch.setitem(sys.modules, "ray.util.client", connected)
    with pytest.raises(CannotRun, match="HEAD:6379"):
        require_driver(None)


@pytest.mark.parametrize("from_environment", [True, False])
def test_nothing_is_taken_before_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, from_environment: bool
) -> None:
    address = "ray://127.0.0.1:10001"
    if from_environment:
        monkeypatch.setenv("RAY_ADDRESS", address)
    spec = {**SPEC, "output": {"dir": str(tmp_path / "out")}}
    with pytest.raises(CannotRun, match="Ray client"):
        list(render(spec, runs=str(tmp_path / "runs"), address=None if from_environment else address))
    assert list(tmp_path.iterdir()) == []


def test_the_token_of_a_ray_of_our_own_is_private_whatever_the_umask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    token = tmp_path / ".ray" / "auth_token"
    before = os.umask(0o002)
    try:
        _quiet(local=False)
        assert not token.exists()
        _quiet(local=True)
        drawn = token.read_text()
        _quiet(local=True)
    finally:
        os.umask(before)
    assert len(drawn) == 64
    assert token.read_text() == drawn
    assert token.stat().st_mode & 0o777 == 0o600
    assert token.parent.stat().st_mode & 0o777 == 0o700
    assert list(token.parent.iterdir()) == [token]


def test_the_doctor_says_so() -> None:
    with pytest.raises(CannotRun, match="submit the spec"):
        cluster_health("ray://head.farm:10001")
