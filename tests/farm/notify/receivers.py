"""Servers of this machine that take what the farm sends: a webhook and a mail server, both real."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from aiosmtpd.controller import Controller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Webhook(ThreadingHTTPServer):
    """`heard` are the messages; `first` is called with each before it is answered."""

    def __init__(self, first: Callable[[], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Taker)
        self.first, self.heard = first, list[dict[str, Any]]()

    @property
    def address(self) -> str:
        """As Apprise takes it."""
        return f"json://127.0.0.1:{self.server_port}/farm"

    @property
    def events(self) -> list[str]:
        """The id of each message."""
        return [heard["message"].splitlines()[-1].removeprefix("event ") for heard in self.heard]


class _Taker(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        """Takes a message."""
        self.server.heard.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.server.first()
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def webhook(first: Callable[[], None] = lambda: None) -> Iterator[Webhook]:
    """A webhook of this machine."""
    server = Webhook(first)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Mailbox:
    """Takes mail; `heard` are its texts."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Takes a letter."""
        self.heard.append(envelope.content.decode())
        return "250 taken"


@contextmanager
def mailbox() -> Iterator[tuple[Mailbox, str]]:
    """A mail server of this machine, and its address."""
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        address = f"mailto://127.0.0.1:{port}?mode=insecure&from=farm@example.org&to=studio@example.org"
        yield box, address
    finally:
        server.stop()
