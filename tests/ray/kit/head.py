"""A real cluster head for tests: `ray start --head` in a process group of its own, ended by its id."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

START_TIMEOUT_S = 180
TOKEN = "0123456789abcdef" * 2


@dataclass(frozen=True)
class Head:
    """Where the cluster listens, the environment that reaches it, its first process, and where its metrics
    can be scraped."""

    gcs_address: str
    dashboard_url: str
    env: dict[str, str]
    pid: int
    metrics_port: int


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Ports:
    """Free ones."""

    gcs: int = field(default_factory=free_port)
    dashboard: int = field(default_factory=free_port)
    metrics: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.dashboard}"


def tool(name: str) -> str:
    """A command of the environment that runs the tests."""
    return str(Path(sys.executable).parent / name)


@contextmanager
def ray_head(gpus: int, cpus: int, ip: str = "127.0.0.1", *more: str, **settings: str) -> Iterator[Head]:
    """Start a head with logical GPUs; kill its whole process group afterwards. `more` are further options,
    `settings` variables of its environment."""
    with tempfile.TemporaryDirectory(prefix="rayhead", dir="/tmp", ignore_cleanup_errors=True) as temp:
        ports = Ports()
        env = {**_environment(ports.url), **settings}
        log = Path(temp) / "start.log"
        with log.open("w") as out:
            process = subprocess.Popen(
                [*_command(temp, ports, gpus, cpus), f"--node-ip-address={ip}", *more],
                env=env, cwd=temp, stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        try:
            _wait_for(process, log, ports.url)
            yield Head(f"{ip}:{ports.gcs}", ports.url, env, process.pid, ports.metrics)
        finally:
            _end(process)


def _environment(url: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("RAY_")}
    path = f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', '')}"
    return {**kept, "PATH": path, "RAY_AUTH_MODE": "disabled", "RAY_API_SERVER_ADDRESS": url}


def _command(temp: str, ports: Ports, gpus: int, cpus: int) -> list[str]:
    return [
        tool("ray"), "start", "--head", "--block", "--disable-usage-stats",
        f"--port={ports.gcs}", f"--dashboard-port={ports.dashboard}",
        f"--ray-client-server-port={free_port()}", f"--metrics-export-port={ports.metrics}",
        "--dashboard-agent-listen-port=0", "--min-worker-port=0", "--max-worker-port=0",
        f"--temp-dir={temp}/ray", f"--num-gpus={gpus}", f"--num-cpus={cpus}",
        "--object-store-memory=268435456",
    ]  # fmt: skip


def _wait_for(process: subprocess.Popen[bytes], log: Path, url: str) -> None:
    import urllib.error
    import urllib.request

    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and process.poll() is None:
        try:
            urllib.request.urlopen(f"{url}/api/version", timeout=2).close()
        except urllib.error.HTTPError:
            pass  # It is up, and asks for a token.
        except (urllib.error.URLError, OSError):
            time.sleep(0.3)
            continue
        if "will now block forever" in log.read_text():
            return
        time.sleep(0.3)
    raise AssertionError(f"ray start did not come up:\n{log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=15)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=15)
