"""Names that documents give to files of a run directory: a name is checked where it is read, before anything
is opened or deleted by it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

ARTIFACTS = "artifacts"
_NAME = r"[0-9A-Za-z_-]{1,128}"

Digest = Annotated[str, Field(pattern=rf"^{_NAME}\z")]
"""What names a result and its records."""

ArtifactFile = Annotated[str, Field(pattern=rf"^{ARTIFACTS}/{_NAME}(\.[0-9A-Za-z_-]+)+\z")]
"""An artifact's key in its run directory."""


def require_inside(key: str) -> str:
    """The key, where it stays inside the run directory. Raises ValueError: no caller makes another."""
    if key and not all(part not in ("", ".", "..") and "\0" not in part for part in key.split("/")):
        raise ValueError(f"{key!r} is no place inside a run directory")
    return key
