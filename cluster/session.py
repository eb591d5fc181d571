"""A Ray session with an owner: one started for the user on this machine, or a connection to a cluster.

A cluster that this process started ends with the session; a cluster that was found is only disconnected from.
Nothing here stops a Ray that somebody else started.
"""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from cluster.job_server.dashboard import AUTH_MODE, token_file
from cluster.ray_private import hush_authentication, hush_cluster_messages
from jobs.errors import CannotRun

if TYPE_CHECKING:
    from cluster.ray_cluster import RayCluster

ANSWER_S = 10.0
CLIENT = "ray://"


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How to reach Ray.

    `address` names a running cluster; None means the one in `RAY_ADDRESS` (a submitted job has it), else a
    Ray of our own on this machine. `gpus` and `cpus` are what that own Ray offers; None means what there is.
    Where the machine has no GPU, `gpus` are logical: workers are counted by them and run on the CPU.
    """

    address: str | None = None
    gpus: int | None = None
    cpus: int | None = None
    namespace: str | None = None
    object_store_bytes: int | None = None


def require_driver(address: str | None) -> None:
    """Raise CannotRun where Ray would be reached through its client, which does not say what the nodes have.

    `address` is as in `SessionConfig`.
    """
    place = address or os.environ.get("RAY_ADDRESS") or ""
    if not place.startswith(CLIENT) and not _client_connected():
        return
    named = place.removeprefix(CLIENT) if place.startswith(CLIENT) else ""
    host = named.rpartition(":")[0] or named or "HEAD"
    raise CannotRun(
        f"a render cannot go through the Ray client ({place or CLIENT}), which does not say what the nodes "
        f"have. From anywhere, submit the spec with --address http://{host}:8265, the cluster's dashboard; "
        f"on one of the nodes, join with --address {host}:6379, or the port that "
        "`ray start --head` named."
    )


def _client_connected() -> bool:
    """Whether the caller has connected through the client already; without Ray, nobody has."""
    client = sys.modules.get("ray.util.client")
    return client is not None and client.ray.is_connected()


@contextmanager
def open_session(config: SessionConfig) -> Iterator[RayCluster]:
    """Connect to Ray, or start it; on the way out undo exactly that.

    A Ray that the caller initialised before is used as it is and left running. Raises `CannotRun` when the
    cluster does not answer or refuses the token.
    """
    require_driver(config.address)
    address = config.address or os.environ.get("RAY_ADDRESS")
    _quiet(local=address in (None, "local"))
    import ray

    if ray.is_initialized():
        yield _cluster(local=False)
        return
    _connect(config, address)
    try:
        yield _cluster(local=address in (None, "local"))
    finally:
        ray.shutdown()


def _cluster(local: bool) -> RayCluster:
    import ray

    from cluster.ray_cluster import RayCluster

    return RayCluster(ray.get_runtime_context().gcs_address, local)


def _quiet(local: bool) -> None:
    """Keep Ray's banner, statistics and warnings out of the user's terminal; before Ray starts.

    A cluster of our own takes Ray's default, a token kept under the home directory, if that can be written.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    hush_authentication()
    if not local:
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not _home_is_writable():
        os.environ.setdefault(AUTH_MODE, "disabled")
    elif os.environ.get(AUTH_MODE, "token").lower() == "token":
        _draw_token(token_file())


def _draw_token(path: Path) -> None:
    """Makes the token that Ray would make where there is none, and lets nobody else read it: Ray leaves that
    to the umask, and whoever has the token may run code on the cluster."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    # What cannot be written here Ray cannot write either, and says so.
    with suppress(OSError):
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if path.exists():
            return
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secrets.token_hex(32))
            path.hardlink_to(beside)
        finally:
            beside.unlink(missing_ok=True)


def _home_is_writable() -> bool:
    home = Path.home()
    return home.is_dir() and os.access(home, os.W_OK)


def _connect(config: SessionConfig, address: str | None) -> None:
    import ray

    _require_listener(address)
    options: dict[str, Any] = {
        "address": address or "local",
        "namespace": config.namespace,
        "logging_level": "ERROR",
        "log_to_driver": False,
        "configure_logging": True,
    }
    if address in (None, "local"):
        options |= {
            "num_gpus": config.gpus,
            "num_cpus": config.cpus,
            "object_store_memory": config.object_store_bytes,
            "include_dashboard": False,
        }
    # A pool reports what concerns it.
    hush_cluster_messages()
    try:
        ray.init(**options)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise CannotRun(_refusal(options["address"], error)) from error


def _require_listener(address: str | None) -> None:
    """Raise CannotRun at once where nobody listens: Ray itself would try for many minutes."""
    host, _, port = (address or "").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=ANSWER_S).close()
    except OSError as error:
        raise CannotRun(_refusal(str(address), error)) from error


def _refusal(address: str, error: Exception) -> str:
    first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return (
        f"Ray at {address!r} did not take the connection: {first_line}. Check that the address is that of a "
        f"running head node (`ray status`), that the Ray versions agree, and that {AUTH_MODE} and the token "
        "are the same on both sides."
    )


@contextmanager
def stop_signals(stop: Callable[[str], None]) -> Iterator[None]:
    """Call `stop(signal name)` on SIGTERM and SIGINT instead of dying; open it inside a session.

    Ray installs a SIGTERM handler of its own when it starts, so ours must come later. A second signal of the
    same kind acts as it would have without us.
    """
    previous: dict[int, Any] = {}

    def handler(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, previous[number])
        stop(signal.Signals(number).name)

    for number in (int(signal.SIGTERM), int(signal.SIGINT)):
        previous[number] = signal.getsignal(number)
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
