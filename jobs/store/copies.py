"""Local copies of artifacts that lie in an object store, for those who need files."""

from __future__ import annotations

import tempfile
from pathlib import Path


class Copies:
    """A temporary folder that comes with the first copy and goes with `clear`. Whoever needs the files owns
    it: nothing else says when they are no longer needed."""

    def __init__(self) -> None:
        self._held: tempfile.TemporaryDirectory[str] | None = None

    def folder(self) -> Path:
        """Where the copies are."""
        if self._held is None:
            self._held = tempfile.TemporaryDirectory(prefix="ltx-farm-")
        return Path(self._held.name)

    def clear(self) -> None:
        """Delete them; more may come."""
        if self._held is not None:
            self._held.cleanup()
            self._held = None
