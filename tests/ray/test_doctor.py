"""`farm doctor` on real clusters: unreachable, exposed to the network, and with nodes that differ."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.local_gpus import has_gpu
from tests.ray.kit.commands import farm, write_spec
from tests.ray.kit.head import Head, free_port, ray_head, tool
from tests.ray.kit.specs import document

TOKEN = "0123456789abcdef0123456789abcdef"


def diagnosis(address: str, runs: Path, **env: str) -> tuple[int, list[dict[str, Any]]]:
    done = farm("doctor", "--address", address, "--runs", runs, "-o", "json", **env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def said(findings: list[dict[str, Any]], check: str, level: str) -> list[dict[str, Any]]:
    return [finding for finding in findings if (finding["check"], finding["level"]) == (check, level)]


def own_ip() -> str:
    """An address of this machine that others can reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        return str(probe.getsockname()[0])
    return "127.0.0.1"


def test_nobody_listens(tmp_path: Path) -> None:
    begun = time.monotonic()
    code, findings = diagnosis(f"127.0.0.1:{free_port()}", tmp_path / "runs")
    (finding,) = said(findings, "ray", "fail")
    assert code == 5
    assert "--address" in finding["fix"]
    assert time.monotonic() - begun < 60


def test_a_sound_cluster(head: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(head.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="disabled")
    assert code == 0
    assert "1 node, 8 GPUs" in said(findings, "ray", "ok")[0]["message"]
    assert said(findings, "versions", "ok")
    assert has_gpu() or "8 in the cluster" in said(findings, "gpu", "ok")[0]["message"]
    assert said(findings, "dashboard", "ok")
    assert "only this machine" in said(findings, "auth", "ok")[0]["message"]


@pytest.fixture(scope="module")
def exposed() -> Iterator[Head]:
    ip = own_ip()
    if ip.startswith("127."):
        pytest.skip("this machine has no address beyond loopback")
    with ray_head(1, 1, ip, "--dashboard-host=0.0.0.0") as started:
        yield started


def test_a_dashboard_that_anyone_can_reach(exposed: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(exposed.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="disabled")
    (finding,) = said(findings, "dashboard", "warn")
    assert code == 0
    assert "beyond loopback" in finding["message"]
    assert "RAY_AUTH_MODE=token" in finding["fix"]
    assert not said(findings, "auth", "ok")


def test_a_token_that_only_we_know_of_protects_nothing(exposed: Head, tmp_path: Path) -> None:
    """The cluster takes anyone, whatever this side is set to."""
    _, findings = diagnosis(
        exposed.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN
    )
    assert not said(findings, "auth", "ok")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Head]:
    with ray_head(1, 1, "127.0.0.1", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN) as started:
        yield started


def test_a_cluster_that_asks_for_a_token(guarded: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(
        guarded.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=TOKEN
    )
    assert code == 0, findings
    assert "asked for a token" in said(findings, "auth", "ok")[0]["message"]


def test_a_client_without_the_token(guarded: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(guarded.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="disabled")
    (finding,) = said(findings, "ray", "fail")
    assert code == 5
    assert "token" in finding["message"] + finding["fix"]


def test_a_node_with_other_software(exposed: Head, tmp_path: Path) -> None:
    """The second node finds metadata of another numpy first, as one with another installation does."""
    other = tmp_path / "numpy-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    with joined(exposed, tmp_path):
        code, findings = diagnosis(exposed.gcs_address, tmp_path / "runs", RAY_AUTH_MODE="disabled")
    messages = [finding["message"] for finding in said(findings, "versions", "fail")]
    assert code == 5
    assert any("has numpy 0.0.1" in message for message in messages)


@contextmanager
def joined(head: Head, packages: Path, gpus: int = 0) -> Iterator[None]:
    """One more node, with logical GPUs, which looks for packages in `packages` first."""
    command = [
        tool("ray"), "start", "--block", f"--address={head.gcs_address}", "--num-cpus=1",
        f"--num-gpus={gpus}", "--object-store-memory=100000000",
        f"--node-ip-address={head.gcs_address.split(':')[0]}",
    ]  # fmt: skip
    env = {**head.env, "PYTHONPATH": str(packages)}
    log = (packages / "node.log").open("wb")
    process = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while b"Ray runtime started" not in (packages / "node.log").read_bytes():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.3)
        yield
    finally:
        log.close()
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=15)


def test_doctor_and_render_agree_on_a_cluster_without_gpus_and_their_advice_works(tmp_path: Path) -> None:
    spec = write_spec(tmp_path, document(tmp_path / "out", 1, 1))
    runs = ("--runs", tmp_path / "runs")
    with ray_head(0, 4) as head:
        join = ("--address", head.gcs_address)
        env = {"RAY_AUTH_MODE": "disabled"}
        code, findings = diagnosis(head.gcs_address, tmp_path / "runs", **env)
        (finding,) = said(findings, "gpus", "fail")
        refused = farm("render", spec, *runs, *join, **env)
        assert (code, refused.returncode) == (5, 5)
        assert f"error: {finding['message']}. {finding['fix']}" in refused.stderr
        assert "this machine" not in refused.stderr
        assert "the cluster has no GPU" in finding["message"]
        node, option = "ray start --address HEAD:6379 --num-gpus 2", "--topology mono=2@0"
        assert f"`{node}`" in finding["fix"]
        assert f"`{option}`" in finding["fix"]
        rendered = farm("render", spec, *runs, *join, *option.split(), **env)
        assert rendered.returncode == 0, rendered.stderr
        with joined(head, tmp_path, gpus=2):
            code, findings = diagnosis(head.gcs_address, tmp_path / "runs", **env)
        assert (code, said(findings, "gpus", "fail")) == (0, [])
