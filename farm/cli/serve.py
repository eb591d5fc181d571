"""`farm serve`: a page of the jobs, for a browser."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli.options import Runs, refuse_beside_serial
from farm.cli.output import Output, OutputFormat, emit_json, emit_note, emit_text
from jobs.commands import DEFAULT_RUNS

if TYPE_CHECKING:
    from farm.page.config import PageConfig

TOKEN = "FARM_PAGE_TOKEN"


def serve(
    host: Annotated[
        str, typer.Option("--host", help="Listen here; others reach only what is not loopback.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="0 takes a free one.")] = 8321,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A host name under which browsers reach it; repeat for several."),
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="Resume and retry render on this Ray cluster.")
    ] = None,
    serial: Annotated[
        bool, typer.Option("--serial", help="Resume and retry render in one process on this machine.")
    ] = False,
    runs: Runs = DEFAULT_RUNS,
    output: Output = OutputFormat.TEXT,
) -> int:
    """Serve a page of the jobs until it is stopped; print its address, which holds the token."""
    from farm.cli.results import ServeResult
    from farm.verbs.listing import list_runs
    from jobs.extras import require_page

    refuse_beside_serial(serial, address=address)
    require_page()
    list_runs(runs)
    from farm.page.app import serve as listen
    from farm.page.config import LOOPBACK

    if host not in LOOPBACK:
        emit_note(
            f"warning: {host} is reached from other machines, without encryption: who listens on the network "
            "can read the token. `ssh -L` or a proxy with TLS in front of loopback avoids that"
        )

    def tell(url: str) -> None:
        emit_json(ServeResult(url)) if output is OutputFormat.JSON else emit_text(url)

    asyncio.run(listen(_config(host, names or [], address, serial, runs), host, port, tell))
    return 0


def _config(host: str, names: list[str], address: str | None, serial: bool, runs: str) -> PageConfig:
    from farm.page.config import PageConfig

    known = frozenset(name.lower() for name in (host, socket.gethostname(), *names))
    token = os.environ.get(TOKEN)
    given = {"token": token} if token is not None else {}
    return PageConfig(runs, names=known, address=address, serial=serial, **given)


def register(app: typer.Typer) -> None:
    """Adds the verb."""
    app.command("serve")(serve)
