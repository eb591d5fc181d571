"""Headless Chromium over its DevTools protocol: open a page, hear its console, run a script, photograph."""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

START_S = 60.0


def chromium() -> str | None:
    """The browser's binary."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    return next(filter(None, map(shutil.which, names)), None)


@dataclass(frozen=True)
class Visit:
    """What to do with a page. `script` is awaited in it; `picture` gets a screenshot of `width` pixels."""

    url: str
    dark: bool = False
    script: str = "true"
    picture: Path | None = None
    width: int = 1200


@dataclass
class Seen:
    """What came of it: the script's value, and every error of the console, page and network."""

    value: Any = None
    errors: list[str] = field(default_factory=list)


def visit(what: Visit) -> Seen:
    """Opens the page in a browser of its own."""
    binary = chromium()
    assert binary
    with tempfile.TemporaryDirectory(prefix="browser", ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                binary, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--autoplay-policy=no-user-gesture-required", "--remote-debugging-port=0",
                "--remote-allow-origins=*", f"--user-data-dir={profile}", "about:blank",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        try:
            return asyncio.run(_visit(_port(Path(profile), process), what))
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=20)


def _port(profile: Path, process: subprocess.Popen[bytes]) -> int:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, ValueError, IndexError):
            return int((profile / "DevToolsActivePort").read_text().splitlines()[0])
        time.sleep(0.1)
    raise AssertionError("the browser did not start")


async def _visit(port: int, what: Visit) -> Seen:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in await answer.json() if page["type"] == "page"]
        async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            return await _Tab(socket).visit(what)


class _Tab:
    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.seen = Seen()
        self.number = 0
        self.loaded = False

    async def visit(self, what: Visit) -> Seen:
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        scheme = {"name": "prefers-color-scheme", "value": "dark" if what.dark else "light"}
        await self.ask("Emulation.setEmulatedMedia", features=[scheme])
        size = {"width": what.width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        await self.ask("Emulation.setDeviceMetricsOverride", **size)
        self.loaded = False
        await self.ask("Page.navigate", url=what.url)
        while not self.loaded:
            self.take(await self.socket.receive_json(timeout=START_S))
        answer = await self.ask(
            "Runtime.evaluate", expression=what.script, awaitPromise=True, returnByValue=True
        )
        self.seen.value = answer["result"].get("value")
        if "exceptionDetails" in answer:
            self.seen.errors.append(str(answer["exceptionDetails"]))
        if what.picture:
            await self.photograph(what.picture)
        return self.seen

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            message = await self.socket.receive_json(timeout=START_S)
            if message.get("id") == self.number:
                assert "error" not in message, message
                return dict(message["result"])
            self.take(message)

    def take(self, message: dict[str, Any]) -> None:
        """Collects errors and notices when the page has loaded."""
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self.loaded = True
            case "Runtime.exceptionThrown":
                self.seen.errors.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "assert"):
                self.seen.errors.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.seen.errors.append(params["entry"]["text"])
            case "Network.loadingFailed" if not params.get("canceled"):
                self.seen.errors.append(f"{params['type']} {params['errorText']}")

    async def photograph(self, path: Path) -> None:
        shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True, format="png")
        path.write_bytes(base64.b64decode(shot["data"]))
