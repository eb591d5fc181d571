"""The GPUs of this machine, from the driver's files: asking Ray or CUDA would take seconds."""

from __future__ import annotations

import re
from pathlib import Path

from cluster.inventory import UNKNOWN

MODEL_NUMBER = re.compile(r"\w+\s+((?:[A-Z]+\s+)*[A-Z0-9]*\d[A-Z0-9]*)")
"""The words in capitals before and including the first with a digit, behind the maker's name."""


def has_gpu() -> bool:
    """Whether this machine has an NVIDIA device node (also under WSL)."""
    return count_gpus() > 0


def count_gpus() -> int:
    """NVIDIA device nodes of this machine; under WSL, which has one node for all, at least 1."""
    return len(list(Path("/dev").glob("nvidia[0-9]*"))) or int(Path("/dev/dxg").exists())


def local_device() -> str:
    """The first GPU of this machine as Ray names its type, such as `H200`; `cpu` without one.

    Read from the driver's files: asking Ray or CUDA would take seconds.
    """
    for file in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        for model in file.read_text().partition("Model:")[2].splitlines()[:1]:
            if name := device_type(model.strip()):
                return name
    return "cpu" if not count_gpus() else UNKNOWN


def device_type(model: str) -> str:
    """Ray's name for a GPU model: `NVIDIA H100 80GB HBM3` is `H100`, `NVIDIA GeForce RTX 4090` is
    `GeForce-RTX-4090`. Ray's own function is private and takes Ray's start-up time to import; a test compares
    the two."""
    capitals = MODEL_NUMBER.match(model)
    name = capitals.group(1) if capitals else model.removeprefix("NVIDIA ")
    return "-".join(name.split())
