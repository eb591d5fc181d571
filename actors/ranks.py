"""What the ranks of a gang tell each other within a step: tensors of a size that all know, and nothing else.

They meet through a file in a private folder and listen on the loopback interface only.
"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

LOOPBACK = "lo"
PATIENCE = timedelta(days=7)
"""A rank that does not come is a matter of the task's deadline, not of a collective's."""
MEETING = "meeting"
MEETING_S = 120.0
"""How long the ranks may take to reach each other, once all have loaded: NCCL itself may wait for ever."""


@dataclass(frozen=True)
class Ranks:
    """A gang as one of its ranks sees it. All ranks call the same methods in the same order."""

    rank: int
    size: int
    group: Any
    """The process group: NCCL's where the ranks have GPUs, else Gloo's."""
    store: Any
    device: str
    _parts: dict[int, Ranks] = field(default_factory=dict, compare=False)

    @classmethod
    def meet(cls, folder: Path, rank: int, size: int, device: str) -> Ranks:
        """Wait in `folder` for the others. A process may belong to several gangs, so none is torch's
        default group."""
        dist: Any = importlib.import_module("torch.distributed")
        os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = LOOPBACK
        # Nothing is summed across ranks, which is all that multicast is for.
        os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
        store = dist.FileStore(str(folder / MEETING), size)
        store.set_timeout(PATIENCE)
        if device.startswith("cuda"):
            torch.cuda.set_device(torch.device(device).index or 0)
        return cls._grouped(store, rank, size, device)

    @classmethod
    def _grouped(cls, store: Any, rank: int, size: int, device: str) -> Ranks:
        dist: Any = importlib.import_module("torch.distributed")
        if device.startswith("cuda"):
            options = dist.ProcessGroupNCCL.Options()
            options._timeout = PATIENCE
            group = dist.ProcessGroupNCCL(store, rank, size, options)
        else:
            group = dist.ProcessGroupGloo(store, rank, size, PATIENCE)
        ranks = cls(rank, size, group, store, device)
        ranks.gathered(torch.zeros(1, device=device))
        return ranks

    def divided(self, size: int) -> tuple[int, Ranks]:
        """The ranks in groups of `size`, neighbours together: the number of this one's group, and that."""
        number = self.rank // size
        if size == self.size:
            return number, self
        if size not in self._parts:
            dist: Any = importlib.import_module("torch.distributed")
            store = dist.PrefixStore(f"{size}/{number}", self.store)
            self._parts[size] = Ranks._grouped(store, self.rank % size, size, self.device)
        return number, self._parts[size]

    def abandon(self) -> None:
        """End what waits for a rank that is gone: on a GPU its kernels would turn for ever, and hold the
        process's memory and its end."""
        for ranks in (*self._parts.values(), self):
            ranks.group.abort()

    def gathered(self, mine: Tensor) -> list[Tensor]:
        """Each rank's tensor, by rank; all have the shape and type of `mine`, which is contiguous."""
        every = [torch.empty_like(mine) for _ in range(self.size)]
        self.group.allgather([every], [mine]).wait()
        return every

    def exchanged(self, parts: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
        """`parts[i]` goes to rank i, flat tensors of one type; from each rank come `sizes[i]` values."""
        sent = torch.cat(list(parts))
        found = sent.new_empty(sum(sizes))
        self.group.alltoall_base(found, sent, list(sizes), [part.numel() for part in parts]).wait()
        return list(found.split(list(sizes)))


def dealt(
    ranks: Ranks | None, lengths: Sequence[int], make: Callable[[int], Tensor], like: Tensor
) -> Iterator[Tensor]:
    """What `make` makes of 0, 1, 2 and so on, in order: `[lengths[i], ...]`, the rest of the shape and the
    type those of `like`. Of several ranks each makes its share, and all have all."""
    if ranks is None:
        yield from map(make, range(len(lengths)))
        return
    for first in range(0, len(lengths), ranks.size):
        sent = like.new_zeros((max(lengths), *like.shape[1:]))
        if (mine := first + ranks.rank) < len(lengths):
            sent[: lengths[mine]] = make(mine)
        for part, length in zip(ranks.gathered(sent), lengths[first:], strict=False):
            yield part[:length]
