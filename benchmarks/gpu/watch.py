"""The device as seen from outside (NVML) and from inside (events, allocator). On a CPU stand-ins answer."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

GIB = 2**30
PERIOD_S = 0.1


@dataclass(frozen=True, slots=True)
class Sample:
    """At `at_s` (monotonic): share of the last moments in which a kernel ran, and memory in use."""

    at_s: float
    busy: float
    used_gib: float


class Watch:
    """Samples the device in a thread while the block runs.

    NVML's utilization is the share of its own last sampling period in which any kernel ran.
    """

    def __init__(self, device: str) -> None:
        self.samples: list[Sample] = []
        self.host_gib = 0.0
        self._read = _nvml_reader() if device.startswith("cuda") else _cpu_reader()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def busy(self, start_s: float, stop_s: float) -> float:
        """Mean utilization in `[start_s, stop_s)`, 0 to 1; 0 where nothing was sampled."""
        inside = [sample.busy for sample in self.samples if start_s <= sample.at_s < stop_s]
        return statistics.fmean(inside) if inside else 0.0

    @property
    def peak_gib(self) -> float:
        return max((sample.used_gib for sample in self.samples), default=0.0)

    def _loop(self) -> None:
        beats = 0
        while not self._stop.wait(PERIOD_S):
            with suppress(Exception):
                busy, used = self._read()
                self.samples.append(Sample(time.monotonic(), busy, used))
            beats += 1
            if beats % 10 == 0:
                with suppress(Exception):
                    self.host_gib = max(self.host_gib, _largest_worker_gib())


def _nvml_reader() -> Callable[[], tuple[float, float]]:
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)

    def read() -> tuple[float, float]:
        return (
            pynvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100,
            pynvml.nvmlDeviceGetMemoryInfo(handle).used / GIB,
        )

    return read


def _cpu_reader() -> Callable[[], tuple[float, float]]:
    import psutil  # type: ignore[import-untyped]

    return lambda: (psutil.cpu_percent() / 100, psutil.virtual_memory().used / GIB)


def _largest_worker_gib() -> float:
    """Resident memory of the largest Ray worker on this machine."""
    import psutil

    sizes = [0]
    for process in psutil.process_iter(["name", "cmdline", "memory_info"]):
        words = process.info["cmdline"] or [process.info["name"] or ""]
        if words and words[0].startswith("ray::") and process.info["memory_info"]:
            sizes.append(process.info["memory_info"].rss)
    return max(sizes) / GIB


def wait(device: str) -> None:
    """Until the device has done all that was asked of it."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.synchronize()


def seconds(run: Callable[[], Any], device: str, repeats: int = 3) -> float:
    """Median wall time of a run after one warm-up, the device waited for."""
    run()
    times = []
    for _ in range(repeats):
        wait(device)
        start = time.perf_counter()
        run()
        wait(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


class Peak:
    """Allocator peak of a block above what was allocated when it began, GiB; 0 on a CPU."""

    def __init__(self, device: str) -> None:
        self.on = device.startswith("cuda")
        self.gib = 0.0

    def __enter__(self) -> Peak:
        if self.on:
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated()
        return self

    def __exit__(self, *_: object) -> None:
        if self.on:
            import torch

            torch.cuda.synchronize()
            self.gib = (torch.cuda.max_memory_allocated() - self._start) / GIB


class EventClock:
    """Time between CUDA events around pieces of work on the current stream; host time on a CPU."""

    def __init__(self, device: str) -> None:
        self.on = device.startswith("cuda")
        self._marks: list[tuple[Any, Any]] = []

    def around(self, run: Callable[[], Any]) -> Any:
        start = self._mark()
        result = run()
        self._marks.append((start, self._mark()))
        return result

    def total_s(self) -> float:
        if not self.on:
            return sum(stop - start for start, stop in self._marks)
        wait("cuda")
        return sum(start.elapsed_time(stop) for start, stop in self._marks) / 1000

    def _mark(self) -> Any:
        if not self.on:
            return time.perf_counter()
        import torch

        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event


def card(device: str) -> str:
    """The card's own name."""
    if not device.startswith("cuda"):
        return "cpu"
    import torch

    return torch.cuda.get_device_name(0)
