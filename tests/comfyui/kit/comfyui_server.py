"""A real ComfyUI server on the CPU, in a base folder of its own so that the checkout stays as it is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDERS = ("custom_nodes", "models/checkpoints", "input", "output", "temp", "user", "front")
START_S, RUN_S = 180, 900


@dataclass(frozen=True)
class Server:
    """A running server: its address, its base folder and its log."""

    url: str
    base: Path
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, document: Any) -> Any:
        data = json.dumps(document).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or "null")

    def run(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """Queue a workflow, wait for it, and return its outputs by node id."""
        return self.finished(self.queue(workflow))

    def queue(self, workflow: dict[str, Any]) -> str:
        """The id under which a workflow waits for its turn."""
        return str(self.post("prompt", {"prompt": workflow})["prompt_id"])

    def finished(self, prompt: str) -> dict[str, Any]:
        """Wait for a queued workflow, and return its outputs by node id."""
        deadline = time.monotonic() + RUN_S
        while time.monotonic() < deadline:
            history = self.get(f"history/{prompt}").get(prompt)
            if history and history["status"]["completed"]:
                return history["outputs"]
            if history and history["status"]["status_str"] == "error":
                raise AssertionError(json.dumps(history["status"], indent=1)[-3000:])
            time.sleep(0.5)
        raise AssertionError(f"the workflow did not finish in {RUN_S} s: {self.log.read_text()[-2000:]}")


def make_base(base: Path) -> Path:
    """The folders ComfyUI expects below `--base-directory`, and an empty front end."""
    for name in FOLDERS:
        (base / name).mkdir(parents=True, exist_ok=True)
    (base / "front" / "index.html").write_text("<html></html>")
    return base


@contextmanager
def running(root: Path, base: Path, threads: int) -> Iterator[Server]:
    """Start ComfyUI's own main.py, wait until it answers, and end it afterwards."""
    port = _free_port()
    log = base / "server.log"
    command = [
        sys.executable, "main.py", "--cpu", "--base-directory", str(base), "--port", str(port),
        "--disable-api-nodes", "--front-end-root", str(base / "front"),
        "--database-url", "sqlite:///:memory:",
    ]  # fmt: skip
    # The pack finds its own packages; the test's path must not help it.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=root, env=environment, stdout=output, stderr=output)
    try:
        server = Server(f"http://127.0.0.1:{port}", base, log)
        _wait(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def _wait(server: Server, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise AssertionError(f"the server ended: {server.log.read_text()[-3000:]}")
        try:
            server.get("system_stats")
            return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.5)
    raise AssertionError(f"the server did not answer: {server.log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
