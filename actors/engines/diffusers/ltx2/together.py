"""Files that hold one component between them: a projection beside the text encoder, its connectors beside the
transformer, as LTX-2.5 is published."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.diffusers.checkpoint import Checkpoint
from jobs.weights.header import Weights

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Together(Checkpoint):
    """Several files that are read as one; it goes by the name of the first, and its metadata is that of the
    first which has a config."""

    parts: tuple[Checkpoint, ...] = ()

    @classmethod
    def open_all(cls, paths: Sequence[Path]) -> Checkpoint:
        """Raises `UnsupportedCheckpoint` where one has no header."""
        parts = tuple(map(Checkpoint.open, paths))
        if len(parts) == 1:
            return parts[0]
        tensors = {name: tensor for part in parts for name, tensor in part.weights.tensors.items()}
        metadata = next((part.weights.metadata for part in parts if part.configs), {})
        return cls(paths[0], Weights(tensors, metadata), parts)

    def read(self, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, Tensor]]:
        left = set(names)
        for part in reversed(self.parts):
            own = left & part.weights.tensors.keys()
            left -= own
            yield from part.read(sorted(own), dtype)
