"""Which outlet films go to, by its address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.output.outlet import Outlet


def outlet_of(url: str) -> Outlet:
    """The outlet for an output folder or URL; nothing is created. Raises StoreUnusable for a store without a
    driver."""
    from farm.output.local_outlet import LocalOutlet
    from farm.output.remote_outlet import RemoteOutlet

    return RemoteOutlet(url) if "://" in url else LocalOutlet(Path(url))


def locate(address: str) -> tuple[Outlet, str]:
    """Outlet and name of a film by its path or URL."""
    folder, _, name = address.rpartition("/")
    return outlet_of(folder or "/"), name
