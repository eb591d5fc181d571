"""ComfyUI's own server as a child process: `main.py`, a folder of models, and graphs handed to it."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

READY_S, PERIOD_S = 300.0, 0.01
TOLD = 3000
"""Characters at the end of its log that an error repeats."""

Graph = dict[str, dict[str, Any]]
"""Nodes by name, in the format of its API."""


@dataclass(frozen=True)
class Server:
    """One that runs. `log` is what it printed."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def made(self, graph: Graph) -> dict[str, Any]:
        """Run a graph; what its output nodes tell, by name. Raises RuntimeError where it fails."""
        number = self._ask("/prompt", {"prompt": graph})["prompt_id"]
        while not (record := self._ask(f"/history/{number}").get(number)):
            self.check()
            time.sleep(PERIOD_S)
        if not record["status"]["completed"]:
            raise RuntimeError(f"ComfyUI failed: {record['status']['messages'][-1]}")
        return record["outputs"]

    def check(self) -> None:
        """Raises RuntimeError where it has ended."""
        if self.process.poll() is not None:
            raise RuntimeError(f"ComfyUI ended: {self.log.read_text(errors='replace')[-TOLD:]}")

    def wait(self) -> None:
        """Until it answers."""
        end_s = time.monotonic() + READY_S
        while time.monotonic() < end_s:
            self.check()
            try:
                self._ask("/system_stats")
            except OSError:
                time.sleep(0.2)
            else:
                return
        raise RuntimeError(f"ComfyUI does not answer: {self.log.read_text(errors='replace')[-TOLD:]}")

    def _ask(self, path: str, body: Any = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"ComfyUI refused {path}: {error.read().decode()[:TOLD]}") from error


@contextmanager
def served(core: Path, base: Path, log: Path, options: Sequence[str]) -> Iterator[Server]:
    """`main.py` of the core with `base` as its folder of models, custom nodes and results, until the block
    ends. `options` are more of its own."""
    page = base / "page"
    page.mkdir()
    port = _free_port()
    words = [sys.executable, str(core / "main.py"), "--listen", "127.0.0.1", "--port", str(port)]
    words += ["--base-directory", str(base), "--front-end-root", str(page), "--disable-api-nodes"]
    words += ["--database-url", "sqlite:///:memory:", *options]
    with log.open("wb") as printed:
        process = subprocess.Popen(words, stdout=printed, stderr=subprocess.STDOUT)
        server = Server(process, port, log)
        try:
            server.wait()
            yield server
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])
