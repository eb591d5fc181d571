"""The compute class: machines of one class give the same bytes. Needs no torch for a CPU."""

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
_LEVELS = ("avx512f", "avx2", "avx", "asimd")
"""Vector instruction sets, widest first; kernels are picked by them and sum in different orders."""


def compute_class(device: str) -> str:
    """`NVIDIA H200` for a CUDA device, `cpu x86_64 GenuineIntel avx512f` for a processor."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.get_device_name(torch.device(device))
    return _cpu_class()


@cache
def _cpu_class() -> str:
    facts = _cpu_facts()
    flags = facts.get("flags", facts.get("Features", "")).split()
    level = next((level for level in _LEVELS if level in flags), "")
    vendor = facts.get("vendor_id", facts.get("CPU implementer", ""))
    return " ".join(filter(None, ("cpu", platform.machine(), vendor, level)))


def _cpu_facts() -> dict[str, str]:
    """The first processor's entries; empty where the system has no such file."""
    try:
        first = _CPUINFO.read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}
