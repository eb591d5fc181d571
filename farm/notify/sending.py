"""One message to the addresses of a label, through Apprise."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from jobs.extras import require_notify

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent; `good` is how it is marked where marks exist."""

    title: str
    body: str
    good: bool


@dataclass(frozen=True, slots=True)
class Sent:
    """`reached` are marks of addresses that took the message, `missed` names those that did not, without
    what is secret of them."""

    reached: tuple[str, ...]
    missed: tuple[str, ...]


def mark(address: str) -> str:
    """Stands for an address where it must not be written down."""
    return sha256(address.encode()).hexdigest()[:16]


def send(message: Message, addresses: Iterable[str], reached: Collection[str] = ()) -> Sent:
    """Sends it to each address whose mark is not among those `reached` before.

    Raises CannotRun where Apprise is not installed.
    """
    require_notify()
    import apprise

    # It logs failures with their addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL)
    taken, missed = list(reached), []
    for address in addresses:
        if mark(address) in taken:
            continue
        target = apprise.Apprise.instantiate(address)
        if target is None:
            missed.append(f"{address.partition(':')[0]}: no address that Apprise {apprise.__version__} knows")
            continue
        kind = apprise.NotifyType.SUCCESS if message.good else apprise.NotifyType.FAILURE
        if target.notify(body=message.body, title=message.title, notify_type=kind):
            taken.append(mark(address))
        else:
            missed.append(target.url(privacy=True).partition("?")[0])
    return Sent(tuple(taken), tuple(missed))
