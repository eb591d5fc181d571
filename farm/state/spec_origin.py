"""Which spec a job renders: the file that it came from, and whether that was edited since."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import SpecError
from jobs.file_digests import file_digest

if TYPE_CHECKING:
    from jobs.loading.load import LoadedSpec


@dataclass(frozen=True, slots=True)
class SpecOrigin:
    """A spec file, and the SHA-256 of what it held when it was read."""

    path: str
    sha256: str

    @property
    def edited(self) -> bool:
        """Whether the file holds something else now."""
        try:
            return Path(self.path).exists() and file_digest(self.path) != self.sha256
        except SpecError:
            return False


def origin_of(loaded: LoadedSpec) -> SpecOrigin | None:
    """Where the spec came from; None for one that is no file."""
    if loaded.origin is None:
        return None
    try:
        return SpecOrigin(str(loaded.origin), file_digest(loaded.origin))
    except SpecError:
        return None


def which_spec(
    same: bool | None, origin: SpecOrigin | None, known: SpecOrigin | None, again: Callable[..., str]
) -> str:
    """A sentence that says which spec is rendered, where there are two; else empty.

    `same`: whether it says what the run directory has of the job's last render (None: it has nothing).
    `origin` is this render's file, `known` that one's, `again(spec=path)` the command that renders a file.
    """
    if same is False:
        given = origin.path if origin else "the spec that it was given"
        return f"this renders {given} as it is now, which differs from the spec that the job rendered before"
    if same and origin is None and known is not None and known.edited:
        return (
            f"this renders the spec that is stored with the job; {known.path} was edited since: "
            f"`{again(spec=known.path)}` renders it as it is now"
        )
    return ""
