"""The clip that all make, and what each is timed at."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.watch import GIB, wait

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

RATE = 24.0
WORDS = 1024
"""Tokens of a prompt."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Final size; the first pass has half the width and height."""

    width: int
    height: int
    frames: int

    @property
    def name(self) -> str:
        return f"{self.width}x{self.height}x{self.frames}"


REAL, REHEARSAL = Clip(1920, 1088, 121), Clip(128, 128, 17)


def clip_of(bench: Bench) -> Clip:
    return REAL if bench.real else REHEARSAL


def context(width: int, seed: int, device: str, dtype: Any = None) -> Any:
    """What a text encoder would make of a prompt, `[1, words, width]` bfloat16 unless told, random."""
    import torch

    generator = torch.Generator(device).manual_seed(seed)
    return torch.randn(1, WORDS, width, generator=generator, device=device).to(dtype or torch.bfloat16)


@dataclass
class Timed:
    """Seconds of each clip, the first one cold, and the most memory in GiB."""

    seconds: list[float]
    peak_gib: float


def timed(bench: Bench, run: Callable[[int], Any], repeats: int) -> Timed:
    """`run` takes the number of the clip, which is its seed; what it answers is in host memory."""
    seconds = []
    for number in range(repeats + 1):
        wait(bench.device)
        start = time.perf_counter()
        run(number)
        wait(bench.device)
        seconds.append(time.perf_counter() - start)
        print(f"{bench.item} clip {number}: {seconds[-1]:.2f} s", flush=True)
    return Timed(seconds, _peak_gib(bench))


def _peak_gib(bench: Bench) -> float:
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    return torch.cuda.max_memory_allocated() / GIB
