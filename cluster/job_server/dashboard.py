"""Requests to a cluster's dashboard, which answers for its job server: plain HTTP, no Ray on this side."""

from __future__ import annotations

import json
import os
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any

from jobs.errors import CannotRun

AUTH_MODE = "RAY_AUTH_MODE"
TOKEN, TOKEN_PATH = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
ANSWER_S = 60.0
"""Ray's dashboard itself waits up to 30 s for the head's agent."""
BINARY = "application/octet-stream"


class DashboardError(OSError):
    """The dashboard answered with an error; `status` is its HTTP status, the message what it said."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True, slots=True)
class Dashboard:
    """The dashboard at `url`, `http://head:8265`."""

    url: str

    def get(self, path: str) -> Mapping[str, Any]:
        """The JSON object at `path`. Raises OSError."""
        return _object(self._request("GET", path, None, BINARY))

    def post(self, path: str, value: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the dashboard answers to a JSON object. Raises OSError."""
        return _object(self._request("POST", path, json.dumps(value).encode(), "application/json"))

    def put(self, path: str, data: bytes) -> None:
        """Hands over bytes. Raises OSError."""
        self._request("PUT", path, data, BINARY)

    def has(self, path: str) -> bool:
        """Whether something is there. Raises OSError."""
        try:
            self._request("GET", path, None, BINARY)
        except DashboardError as error:
            if error.status == 404:
                return False
            raise
        return True

    def _request(self, method: str, path: str, data: bytes | None, kind: str) -> bytes:
        request = urllib.request.Request(self.url + path, data, {"Content-Type": kind}, method=method)
        for name, value in token_header().items():
            request.add_unredirected_header(name, value)  # Where a redirect leads, the token is not wanted.
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            raise DashboardError(error.code, _said(error)) from None
        except urllib.error.URLError as error:
            raise OSError(str(error.reason)) from None
        except (HTTPException, ValueError) as error:
            raise OSError(str(error) or type(error).__name__) from None


def token_header() -> dict[str, str]:
    """The header of a cluster that asks for a token, found where Ray looks for it, in that order. Raises
    CannotRun where the file that is named cannot be read."""
    if os.environ.get(AUTH_MODE, "").lower() != "token":
        return {}
    token = os.environ.get(TOKEN, "").strip() or _kept_token()
    return {"Authorization": f"Bearer {token}"} if token else {}


def token_file() -> Path:
    """Where Ray keeps the token of this user's clusters."""
    return Path.home() / ".ray" / "auth_token"


def _kept_token() -> str:
    named = os.environ.get(TOKEN_PATH)
    path = Path(named) if named else token_file()
    try:
        return path.read_text().strip()
    except OSError as error:
        if named:
            raise CannotRun(f"{TOKEN_PATH}: {path} cannot be read: {error.strerror}") from error
        return ""


def _object(answer: bytes) -> Mapping[str, Any]:
    try:
        value = json.loads(answer)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise OSError("the answer is not that of a Ray job server")
    return value


def _said(error: urllib.error.HTTPError) -> str:
    """Ray answers with a traceback, whose last line says what is wrong; a proxy with a page."""
    lines = error.read().decode(errors="replace").strip().splitlines()
    said = lines[-1][:300] if lines and not lines[0].startswith("<") else error.reason
    return f"{error.code} {said}"
