"""What the training stages share: recorded steps, a clock-driven schedule, averaged weights, saved states."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from torch import nn

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Run:
    """Where a stage runs and for how long."""

    device: torch.device
    folder: Path
    seconds: float
    batch_scale: float = 1.0
    seed: int = 0
    peak_lr: float | None = None
    limit_steps: int = 10**9
    channels_last: bool = True
    diet: str = "whole"
    rank: int = 0
    ranks: int = 1
    started: float = field(default_factory=time.perf_counter)

    @property
    def left_s(self) -> float:
        """What is left of `seconds`, set-up counted."""
        return max(1.0, self.seconds - (time.perf_counter() - self.started))

    @property
    def memory_format(self) -> torch.memory_format:
        return torch.channels_last_3d if self.channels_last else torch.contiguous_format

    @property
    def autocast(self) -> AbstractContextManager[None]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")

    @property
    def generator(self) -> torch.Generator:
        """The device's own generator: the only one that a recorded graph advances by itself."""
        if self.device.type == "cuda":
            return torch.cuda.default_generators[torch.cuda.current_device()]
        return torch.default_generator

    def batch(self, count: int) -> int:
        return max(1, round(count * self.batch_scale))


@dataclass
class Clock:
    """Training progress by wall clock: the budget is device time, not steps. Ranks that train together go by
    the clock of the first.
    """

    seconds: float
    limit_steps: int = 10**9
    ranks: int = 1
    report_every_s: float = 10.0
    save_every_s: float = 60.0
    steps: int = 0
    progress: float = 0.0
    _start: float = field(default_factory=time.perf_counter)
    _said: float = 0.0
    _saved: float = 0.0

    @property
    def elapsed_s(self) -> float:
        return time.perf_counter() - self._start

    def ticks(self) -> Iterator[int]:
        self._look()
        while self.progress < 1.0:
            yield self.steps
            self.steps += 1
            if self.steps % 16 == 0 or self.steps >= self.limit_steps:
                self._look()

    def _look(self) -> None:
        """Wait for the device, and read the clock."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        progress = min(1.0, max(self.elapsed_s / self.seconds, self.steps / self.limit_steps))
        if self.ranks > 1:
            device = "cuda" if torch.cuda.is_available() else "cpu"
            agreed = torch.tensor(progress, dtype=torch.float64, device=device)
            dist.broadcast(agreed, 0)
            progress = agreed.item()
        self.progress = progress

    def restart(self) -> None:
        """Start counting now: everything has been recorded."""
        self._start = time.perf_counter()

    def report(self, text: Callable[[], str]) -> None:
        if self.elapsed_s - self._said >= self.report_every_s:
            self._said = self.elapsed_s
            print(f"  {self.elapsed_s:6.1f} s  step {self.steps:6d}  {text()}", flush=True)

    def save(self, action: Callable[[], None]) -> None:
        if self.elapsed_s - self._saved >= self.save_every_s:
            self._saved = self.elapsed_s
            action()


def cosine(progress: float, warm: float = 0.02, floor: float = 0.01) -> float:
    """Learning-rate factor: a short linear warm-up, then a half cosine to `floor`."""
    if progress < warm:
        return max(progress / warm, 0.02)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * (progress - warm) / (1 - warm)))


class Recorder:
    """Runs steps. On a GPU each is recorded once as a CUDA graph and replayed: thousands of small kernels
    cost one launch.

    A step takes no arguments, draws from the device's own generator, and leaves its results in tensors that
    outlive it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._graphs: dict[Hashable, torch.cuda.CUDAGraph] = {}
        self._pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def __call__(self, name: Hashable, step: Callable[[], None]) -> None:
        """Run `step`, which `name` stands for from now on."""
        if self._device.type != "cuda":
            step()
        elif name in self._graphs:
            self._graphs[name].replay()
        else:
            self._record(name, step)

    def _record(self, name: Hashable, step: Callable[[], None]) -> None:
        """Run `step` on a side stream, as allocation and library set-up need, then record and replay it."""
        torch.cuda.synchronize()
        side = torch.cuda.Stream()
        with torch.cuda.stream(side):
            step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            step()
        self._graphs[name] = graph
        graph.replay()


class Average:
    """Exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = [p for p in module.parameters() if p.requires_grad]
        self.mean = [p.detach().clone() for p in self.live]

    @torch.no_grad()
    def update(self) -> None:
        torch._foreach_lerp_(self.mean, [p.detach() for p in self.live], 1 - self.decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchange the live weights and the average."""
        for live, mean in zip(self.live, self.mean, strict=True):
            kept = live.detach().clone()
            live.copy_(mean)
            mean.copy_(kept)


def save(folder: Path, states: dict[str, State]) -> None:
    """Write each component's state to `<component>.safetensors` as float16, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    for component, state in states.items():
        stored = {name: tensor.detach().half().contiguous().cpu().clone() for name, tensor in state.items()}
        partial = folder / f"{component}.partial"
        save_file(stored, partial)
        partial.replace(folder / f"{component}.safetensors")


def stored(folder: Path, component: str) -> State:
    """A component's state as float32."""
    state = load_file(folder / f"{component}.safetensors")
    return {name: tensor.float() for name, tensor in state.items()}
