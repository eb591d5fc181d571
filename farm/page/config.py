"""What the page was started with: nothing that a browser sends changes it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from jobs.errors import Problem, UsageError

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LEAST_TOKEN = 16
PORT = 8321


@dataclass(frozen=True, slots=True)
class PageConfig:
    """`runs` holds the run directories. `names` are the host names under which a browser may ask, beside
    those of this machine's loopback. Drivers are started on the Ray at `address`, or with `serial` in a
    process each; with neither, none is started. Raises UsageError for a token that can be guessed."""

    runs: str
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)
    names: frozenset[str] = frozenset()
    address: str | None = None
    serial: bool = False

    def __post_init__(self) -> None:
        if len(self.token) < LEAST_TOKEN or not self.token.replace("-", "").replace("_", "").isalnum():
            rule = f"at least {LEAST_TOKEN} letters, digits, '-' and '_'"
            remedy = "leave it out, and a token is drawn"
            raise UsageError([Problem("FARM_PAGE_TOKEN", f"{len(self.token)} characters", rule, remedy)])

    @property
    def place(self) -> str:
        """Where drivers render, in words; empty where none is started."""
        if self.serial:
            return "in one process on this machine"
        return f"on the Ray at {self.address}" if self.address else ""

    def knows(self, host: str) -> bool:
        """Whether a browser may ask under this name."""
        return host.lower() in {*LOOPBACK, *self.names}
