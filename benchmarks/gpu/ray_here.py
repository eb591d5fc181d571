"""Ray and the GPUs of this machine, for items that need several."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING

from jobs.errors import CapacityError

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench


@contextmanager
def one_ray(gpus: int = 1) -> Iterator[None]:
    """One Ray for all renders of an item: it starts once. Where there is no GPU, `gpus` are logical."""
    quiet_ray()
    if not has_ray():
        yield
        return
    from cluster.local_gpus import has_gpu
    from cluster.session import SessionConfig, open_session

    with open_session(SessionConfig(gpus=None if has_gpu() else gpus)):
        yield


def has_ray() -> bool:
    return find_spec("ray") is not None


def quiet_ray() -> None:
    """Ray reads the machine's memory once; a virtual machine that grows would look full to it."""
    os.environ.setdefault("RAY_memory_monitor_refresh_ms", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")


LOGICAL_GPUS = 2


def gpus_of(bench: Bench) -> int:
    """The GPUs to use. Raises CapacityError where there are fewer than two."""
    if not bench.device.startswith("cuda"):
        return LOGICAL_GPUS
    import torch

    found = torch.cuda.device_count()
    if found < 2:
        raise CapacityError(f"this item needs at least 2 GPUs; {found} is visible here")
    return found
