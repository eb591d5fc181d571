"""The device as seen from outside (NVML) and from inside (events, allocator). On a CPU stand-ins answer."""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
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
    """Samples the first `count` visible devices in a thread while the block runs.

    NVML's utilization is the share of its own last sampling period in which any kernel ran.
    """

    def __init__(self, device: str, count: int = 1) -> None:
        self.count = count
        self.samples: list[list[Sample]] = [[] for _ in range(count)]
        self.host_gib = self.private_gib = 0.0
        """Of the largest Ray worker: its resident memory, and what it has for itself."""
        self._read = _nvml_reader(count) if device.startswith("cuda") else _cpu_reader(count)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def busy(self, start_s: float, stop_s: float, device: int = 0) -> float:
        """Mean utilization of a device in `[start_s, stop_s)`, 0 to 1; 0 where nothing was sampled."""
        inside = [sample.busy for sample in self.samples[device] if start_s <= sample.at_s < stop_s]
        return statistics.fmean(inside) if inside else 0.0

    @property
    def peak_gib(self) -> float:
        """Of the device that had most in use."""
        return max((sample.used_gib for samples in self.samples for sample in samples), default=0.0)

    def _loop(self) -> None:
        beats = 0
        while not self._stop.wait(PERIOD_S):
            with suppress(Exception):
                for samples, (busy, used) in zip(self.samples, self._read(), strict=True):
                    samples.append(Sample(time.monotonic(), busy, used))
            beats += 1
            if beats % 10 == 0:
                with suppress(Exception):
                    resident, private = _largest_worker_gib()
                    self.host_gib = max(self.host_gib, resident)
                    self.private_gib = max(self.private_gib, private)


Reader = Callable[[], list[tuple[float, float]]]
"""Per device: share of time busy, GiB in use."""


def _nvml_reader(count: int) -> Reader:
    import pynvml

    pynvml.nvmlInit()
    handles = [_handle(pynvml, name) for name in visible(pynvml.nvmlDeviceGetCount())[:count]]

    def read_one(handle: Any) -> tuple[float, float]:
        rates, memory = pynvml.nvmlDeviceGetUtilizationRates(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
        return rates.gpu / 100, memory.used / GIB

    return lambda: [read_one(handle) for handle in handles]


def visible(installed: int) -> list[str]:
    """The devices that CUDA counts from 0 here, as NVML names them: numbers, or UUIDs."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(installed)]
    return [name.strip() for name in named.split(",") if name.strip()]


def _handle(pynvml: Any, name: str) -> Any:
    if name.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(name))
    return pynvml.nvmlDeviceGetHandleByUUID(name)


def _cpu_reader(count: int) -> Reader:
    page, whole = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")

    def read_one() -> tuple[float, float]:
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
        return min(1.0, load), (whole - os.sysconf("SC_AVPHYS_PAGES")) * page / GIB

    return lambda: count * [read_one()]


def _largest_worker_gib() -> tuple[float, float]:
    """Resident and private memory of the largest Ray workers on this machine."""
    import psutil

    resident, private = [0.0], [0.0]
    for process in psutil.process_iter(["name", "cmdline", "memory_info"]):
        words = process.info["cmdline"] or [process.info["name"] or ""]
        if words and words[0].startswith("ray::") and process.info["memory_info"]:
            resident.append(process.info["memory_info"].rss / GIB)
            private.append(private_gib(str(process.pid)))
    return max(resident), max(private)


def private_gib(pid: str = "self") -> float:
    """What a process has for itself of host memory, pages of files not counted; 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024 / GIB
    return 0.0


class HostPeak:
    """The most host memory that this process had for itself during a block, GiB."""

    def __enter__(self) -> HostPeak:
        self.gib = private_gib()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()
        self.gib = max(self.gib, private_gib())

    def _loop(self) -> None:
        while not self._done.wait(PERIOD_S / 4):
            self.gib = max(self.gib, private_gib())


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
    """Allocator peaks of a block above what there was when it began, GiB; 0 on a CPU. `gib` is what tensors
    take, `reserved_gib` what they take with the gaps between them: the device must have that."""

    def __init__(self, device: str) -> None:
        self.on = device.startswith("cuda")
        self.gib = self.reserved_gib = 0.0

    def __enter__(self) -> Peak:
        if self.on:
            import torch

            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._start = torch.cuda.memory_allocated(), torch.cuda.memory_reserved()
        return self

    def __exit__(self, *_: object) -> None:
        if self.on:
            import torch

            torch.cuda.synchronize()
            allocated, reserved = self._start
            self.gib = (torch.cuda.max_memory_allocated() - allocated) / GIB
            self.reserved_gib = (torch.cuda.max_memory_reserved() - reserved) / GIB


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
