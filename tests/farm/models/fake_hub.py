"""A hub of models on this machine: the API and the downloads of huggingface.co, over real HTTP."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

REPO = r"/(?:api/models/)?([^/]+/[^/]+)"


@dataclass
class Repo:
    """`files` by path; those that end in .safetensors are kept as the hub keeps large files."""

    files: dict[str, bytes]
    commit: str = "a" * 40
    gated: str | bool = False
    licence: str = "other"

    def sha256(self, path: str) -> str:
        return hashlib.sha256(self.files[path]).hexdigest()

    def blob(self, path: str) -> str:
        data = self.files[path]
        return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


@dataclass
class Hub:
    """`cut_after` stops a transfer after so many bytes, and those that follow at once; `damaged` are paths
    that arrive with other bytes; `asked` are the requests, with the range of each."""

    repos: dict[str, Repo]
    url: str = ""
    cut_after: int | None = None
    damaged: set[str] = field(default_factory=set)
    asked: list[tuple[str, str, str]] = field(default_factory=list)


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": hub}))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        return

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        self.hub.asked.append((self.command, self.path, self.headers.get("Range", "")))
        path = self.path.partition("?")[0]
        if found := re.fullmatch(rf"{REPO}(?:/revision/([0-9a-z]+))?", path):
            return self._info(found[1])
        if found := re.fullmatch(rf"{REPO}/resolve/([0-9a-z]+)/(.+)", path):
            return self._file(found[1], found[3], body)
        return self._refuse(404, "RepoNotFound")

    def _info(self, name: str) -> None:
        repo = self.hub.repos.get(name)
        if repo is None:
            return self._refuse(404, "RepoNotFound")
        siblings = []
        for path, data in repo.files.items():
            large = {"sha256": repo.sha256(path), "size": len(data), "pointerSize": 134}
            lfs = {"lfs": large} if path.endswith(".safetensors") else {}
            siblings.append({"rfilename": path, "size": len(data), "blobId": repo.blob(path), **lfs})
        card = {"license": repo.licence}
        info = {"id": name, "sha": repo.commit, "gated": repo.gated, "siblings": siblings, "cardData": card}
        return self._send(200, json.dumps(info).encode(), {"Content-Type": "application/json"})

    def _file(self, name: str, path: str, body: bool) -> None:
        repo = self.hub.repos.get(name)
        if repo is None or path not in repo.files:
            return self._refuse(404, "EntryNotFound")
        if repo.gated and "Authorization" not in self.headers:
            return self._refuse(401, "GatedRepo")
        data = repo.files[path]
        etag = repo.sha256(path) if path.endswith(".safetensors") else repo.blob(path)
        sent = bytes(255 - byte for byte in data) if path in self.hub.damaged else data
        start = int(re.sub(r"\D", "", self.headers.get("Range", "").partition("-")[0]) or 0)
        headers = {"X-Repo-Commit": repo.commit, "ETag": f'"{etag}"', "Accept-Ranges": "bytes"}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        return self._send(206 if start else 200, sent[start:], headers, body)

    def _send(self, status: int, data: bytes, headers: dict[str, str], body: bool = True) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if not body:
            return
        cut = self.hub.cut_after
        if cut is not None and len(data) > cut:
            self.wfile.write(data[:cut])
            self.wfile.flush()
            self.hub.cut_after = 0
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(data)

    def _refuse(self, status: int, code: str) -> None:
        self._send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})
