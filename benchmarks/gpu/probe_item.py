"""What is there: the card, its two ceilings, memory, packages."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
import time
from importlib import metadata
from typing import Any

from benchmarks.gpu.bench import SHARED_MEMORY, Bench
from benchmarks.gpu.watch import GIB, card, seconds

PACKAGES = ("torch", "diffusers", "transformers", "ray", "sageattention", "triton", "nvidia-ml-py", "numpy")


def probe(bench: Bench) -> None:
    """Versions, room, and the card's copy and matrix rates."""
    rows: list[dict[str, Any]] = [
        {"what": "card", "value": card(bench.device)},
        {"what": "python", "value": platform.python_version()},
        *({"what": name, "value": _version(name)} for name in PACKAGES),
        {"what": "ffmpeg", "value": _ffmpeg()},
        *({"what": f"free in {place}, GiB", "value": _free_gib(place)} for place in _places()),
        {"what": "scratch", "value": str(bench.scratch)},
        {"what": "writing there, GB/s", "value": _write_rate(bench)},
    ]
    bench.table("Machine", rows + _rates(bench))


def _rates(bench: Bench) -> list[dict[str, Any]]:
    import torch

    side = bench.count(8192, 256)
    dtype = torch.bfloat16 if bench.real else torch.float32
    left, right = torch.randn(2, side, side, device=bench.device, dtype=dtype)
    source = torch.randn(bench.count(2**30, 2**20), device=bench.device)
    target = torch.empty_like(source)
    product_s = seconds(lambda: left @ right, bench.device)
    copy_s = seconds(lambda: target.copy_(source), bench.device)
    return [
        {"what": f"matrix product {side}, TFLOP/s", "value": 2 * side**3 / product_s / 1e12},
        {"what": "copy on the device, read and write, GB/s", "value": 2 * source.nbytes / copy_s / 1e9},
    ]


def _write_rate(bench: Bench) -> float:
    """How fast a large file is written and reaches the medium."""
    block, blocks = b"\x5a" * (1 << 26), bench.count(32, 1)
    path = bench.folder("probe") / "file"
    start = time.perf_counter()
    with path.open("wb") as file:
        for _ in range(blocks):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
    taken = time.perf_counter() - start
    path.unlink()
    return len(block) * blocks / taken / 1e9


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def _ffmpeg() -> str:
    from actors.media.ffmpeg import media_fingerprint

    try:
        return str(media_fingerprint())
    except Exception as error:
        return f"missing: {error}"


def _places() -> list[str]:
    return [str(SHARED_MEMORY), tempfile.gettempdir()]


def _free_gib(place: str) -> float:
    return shutil.disk_usage(place).free / GIB
