"""Files that keep the three projections of an attention in one tensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from actors.engines.diffusers.checkpoint import Checkpoint
from jobs.weights.header import Tensor, Weights

if TYPE_CHECKING:
    import torch

FUSED = ".attn.qkv."
THIRDS = (".attn.to_q.", ".attn.to_k.", ".attn.to_v.")


@dataclass(frozen=True)
class Unfused(Checkpoint):
    """The file, read as if each had a tensor of its own, named as diffusers names it."""

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Unfused:
        tensors: dict[str, Tensor] = {}
        for name, tensor in checkpoint.weights.tensors.items():
            parts = _parts(name)
            rows = (tensor.shape[0] // len(parts), *tensor.shape[1:]) if parts[1:] else tensor.shape
            tensors |= {part: replace(tensor, shape=rows) for part in parts}
        return cls(checkpoint.path, Weights(tensors, checkpoint.weights.metadata))

    def read(self, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, torch.Tensor]]:
        wanted = set(names)
        whole = {_whole(name): None for name in wanted}
        for name, tensor in super().read(whole, dtype):
            parts = _parts(name)
            for part, rows in zip(parts, tensor.chunk(len(parts)), strict=True):
                if part in wanted:
                    yield part, rows.clone() if parts[1:] else rows


def _parts(name: str) -> list[str]:
    return [name.replace(FUSED, third) for third in THIRDS] if FUSED in name else [name]


def _whole(name: str) -> str:
    for third in THIRDS:
        name = name.replace(third, FUSED)
    return name
