"""`farm doctor` on real clusters: sound, guarded, exposed to the network without GPUs, of unlike nodes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from cluster.local_gpus import has_gpu
from tests.ray.kit.commands import farm, write_spec
from tests.ray.kit.head import TOKEN, Head, ray_head, tool
from tests.ray.kit.nodes import wait_until_joined
from tests.ray.kit.specs import document

Findings = list[dict[str, Any]]
OPEN = {"RAY_AUTH_MODE": "disabled"}
KNOWN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}


def diagnosis(head: Head, runs: Path, **env: str) -> tuple[int, Findings]:
    """For a job on the fake engine: what a model needs is not asked of a cluster."""
    spec = write_spec(runs.with_name("asked"), document(runs.with_name("out"), 1, 1))
    done = farm("doctor", spec, "--address", head.gcs_address, "--runs", runs, "-o", "json", **env)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)["findings"]


def said(findings: Findings, check: str, level: str) -> list[str]:
    """The messages, each with its fix."""
    found = [each for each in findings if (each["check"], each["level"]) == (check, level)]
    return [f"{each['message']}. {each.get('fix') or ''}" for each in found]


def test_a_sound_cluster(head: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(head, tmp_path / "runs", **OPEN)
    assert code == 0
    assert "1 node, 8 GPUs" in said(findings, "ray", "ok")[0]
    assert said(findings, "versions", "ok")
    assert has_gpu() or "8 in the cluster" in said(findings, "gpu", "ok")[0]
    assert said(findings, "dashboard", "ok")
    assert "only this machine" in said(findings, "auth", "ok")[0]


@pytest.fixture(scope="module")
def stranger(
    guarded: Head, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Future[tuple[int, Findings]]]:
    """What a client without the token finds. Ray takes half a minute to turn it away: it asks while the other
    tests go on."""
    runs = tmp_path_factory.mktemp("stranger") / "runs"
    with ThreadPoolExecutor() as beside:
        yield beside.submit(diagnosis, guarded, runs, **OPEN)


@pytest.mark.long
@pytest.mark.usefixtures("stranger")
def test_a_cluster_that_asks_for_a_token(guarded: Head, tmp_path: Path) -> None:
    code, findings = diagnosis(guarded, tmp_path / "runs", **KNOWN)
    assert code == 0, findings
    assert "asked for a token" in said(findings, "auth", "ok")[0]


@pytest.fixture(scope="module")
def exposed() -> Iterator[Head]:
    """A head without GPUs, which other machines reach."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("192.0.2.1", 9))
        ip = str(probe.getsockname()[0])
    if ip.startswith("127."):
        pytest.skip("this machine has no address beyond loopback")
    with ray_head(0, 4, ip, "--dashboard-host=0.0.0.0") as started:
        yield started


@pytest.mark.long
def test_doctor_and_render_agree_on_a_cluster_without_gpus_and_their_advice_works(
    exposed: Head, tmp_path: Path
) -> None:
    """It takes anyone, so that a token which this side alone knows of protects nothing."""
    spec = write_spec(tmp_path, document(tmp_path / "out", 1, 1))
    words = ("render", spec, "--runs", tmp_path / "runs", "--address", exposed.gcs_address)
    code, findings = diagnosis(exposed, tmp_path / "runs", **KNOWN)
    (dashboard,) = said(findings, "dashboard", "warn")
    assert "beyond loopback" in dashboard
    assert "RAY_AUTH_MODE=token" in dashboard
    assert not said(findings, "auth", "ok")
    (finding,) = said(findings, "gpus", "fail")
    refused = farm(*words, **OPEN)
    assert (code, refused.returncode) == (5, 5)
    assert f"error: {finding}" in refused.stderr
    assert "this machine" not in refused.stderr
    assert "the cluster has no GPU" in finding
    node, option = "ray start --address HEAD:6379 --num-gpus 2", "--topology mono=2@0"
    assert f"`{node}`" in finding
    assert f"`{option}`" in finding
    rendered = farm(*words, *option.split(), **OPEN)
    assert rendered.returncode == 0, rendered.stderr


@pytest.mark.long
def test_a_node_with_other_software_and_the_gpus_that_were_missing(exposed: Head, tmp_path: Path) -> None:
    """It finds metadata of another numpy first, as one with another installation does."""
    other = tmp_path / "numpy-0.0.1.dist-info"
    other.mkdir()
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.0.1\n")
    with joined(exposed, tmp_path, gpus=2):
        code, findings = diagnosis(exposed, tmp_path / "runs", **OPEN)
    assert code == 5
    assert any("has numpy 0.0.1" in message for message in said(findings, "versions", "fail"))
    assert said(findings, "gpus", "fail") == []


@pytest.mark.long
def test_a_client_without_the_token(stranger: Future[tuple[int, Findings]]) -> None:
    code, findings = stranger.result()
    (finding,) = said(findings, "ray", "fail")
    assert code == 5
    assert "token" in finding


@contextmanager
def joined(head: Head, packages: Path, gpus: int) -> Iterator[None]:
    """One more node, with logical GPUs, which looks for packages in `packages` first."""
    command = [
        tool("ray"), "start", "--block", f"--address={head.gcs_address}", "--num-cpus=1",
        f"--num-gpus={gpus}", "--object-store-memory=100000000",
        f"--node-ip-address={head.gcs_address.split(':')[0]}",
    ]  # fmt: skip
    env = {**head.env, "PYTHONPATH": str(packages)}
    log = packages / "node.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, env=env, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until_joined(process, log)
        yield
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=15)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=15)
