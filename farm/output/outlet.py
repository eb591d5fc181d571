"""Where films go: a folder, or an object store that runs can live in.

Something unfinished has a hidden name of its own, and a film's name is given to what is whole alone. `create`
takes a name only where nothing stands, and only `replace` replaces: which of the two is right, others decide.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from jobs.scratch import Scratch

UNKNOWN_BYTES = -1
HASH_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class ExistingOutput:
    """What stands at a name: `size` in bytes, of a folder the files in it, `UNKNOWN_BYTES` of anything
    else; and a `stamp` that changes whenever it is written again, empty where that is not known."""

    size: int
    stamp: str
    is_folder: bool = False


class Outlet(Protocol):
    """Names are those directly in the output folder. Methods raise StorageProblem where it cannot be used.

    `appends` says that a file in place can grow.
    """

    url: str
    appends: bool

    def probe(self) -> None:
        """Makes the folder where it is missing, writes a file and removes it."""
        ...

    def address(self, name: str) -> str:
        """Path or URL."""
        ...

    def existing(self, names: Iterable[str]) -> dict[str, ExistingOutput]:
        """What stands at those of `names` that are taken."""
        ...

    def find(self, name: str) -> ExistingOutput | None:
        """What stands there; None where nothing does."""
        ...

    def sha256(self, name: str, first_bytes: int | None = None) -> str:
        """Hex SHA-256 of a file or of its first bytes; of a folder that holds a PNG sequence and nothing
        else, that of its manifest; empty for anything else."""
        ...

    def workplace(self, temporary: str, name: str) -> Path:
        """The local path at which `name` is to be made; nothing stands there."""
        ...

    def upload(self, temporary: str, name: str) -> ExistingOutput:
        """What was made stands under its temporary name on the medium itself, and is durable."""
        ...

    def create(self, temporary: str, name: str) -> None:
        """Gives what was uploaded its name. Raises FileExistsError where something stands there."""
        ...

    def replace(self, temporary: str, name: str, aside: str) -> None:
        """Gives it its name in place of what stands there. A folder goes to the hidden name `aside` first."""
        ...

    def keep(self, name: str, older: str) -> None:
        """What stands at `name` stands at `older`, where nothing stands: it, or a copy."""
        ...

    def discard(self, temporary: str) -> None:
        """Removes what has this name: a file, or pictures and the folder that is empty without them."""
        ...

    def fetch(self, name: str, copies: Scratch) -> Path:
        """A local path of the film, in `copies` where the outlet is remote. Raises FileNotFoundError."""
        ...
