"""Tensors on their way to the device and back, while it goes on computing.

An ordinary copy first waits for all that the device has yet to do, and until it is over no kernel is
launched: the device idles meanwhile. Copies through page-locked memory wait for nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from actors.engines.base import Arriving
from actors.payload import Payload, from_torch

_COPIERS = 8
_COPIED_BY_ONE = 2**24
"""Threads that copy a large array, and bytes up to which one is as fast."""


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """The tensor on `device`, its copy queued behind what the device has yet to do."""
    if device.type == "cpu" or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def bring_home(tensors: Mapping[str, Tensor]) -> Payload | Arriving:
    """Float32 results by name: host arrays on a CPU; from a GPU they come once they are computed."""
    if all(tensor.device.type == "cpu" for tensor in tensors.values()):
        return from_torch(dict(tensors))
    flights = {name: InFlight(tensor.contiguous()) for name, tensor in tensors.items()}
    return Arriving(lambda: Payload({name: flight.land() for name, flight in flights.items()}))


def deliver(frames: Tensor) -> np.ndarray | DeviceFrames:
    """What an engine's `decode` answers with: host frames on a CPU, frames to be sent for on a GPU."""
    frames = frames.contiguous()
    return frames.numpy() if frames.device.type == "cpu" else DeviceFrames(frames)


class DeviceFrames:
    """uint8 `[F, H, W, 3]`, contiguous, still on a CUDA device. Implements `FramesElsewhere`."""

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return self._frames.shape[0]

    def __getitem__(self, which: slice) -> DeviceFrames:
        return DeviceFrames(self._frames[which])

    def send(self) -> InFlight:
        """Have the frames copied as soon as they are decoded, beside whatever the device does next."""
        return InFlight(self._frames)


def keep(latents: Tensor) -> Payload | DeviceLatents:
    """What an engine's `upsample` answers with: host arrays on a CPU, latents to be gone on with on a GPU."""
    return from_torch({"latents": latents}) if latents.device.type == "cpu" else DeviceLatents(latents)


class DeviceLatents:
    """`tensor` `[1, C, T, h, w]`, still on a CUDA device. Implements `LatentsElsewhere`."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor

    def __getitem__(self, which: slice) -> DeviceLatents:
        return DeviceLatents(self.tensor[:, :, which])

    def send(self) -> Payload | Arriving:
        return bring_home({"latents": self.tensor})


class InFlight:
    """A contiguous tensor's copy into page-locked memory, on a stream of its own behind what computes it."""

    def __init__(self, tensor: Tensor) -> None:
        # Held until the copy has ended: the allocator would hand its memory to the next step.
        self._source = tensor
        self._stream = torch.cuda.Stream(tensor.device)
        self._stream.wait_stream(torch.cuda.current_stream(tensor.device))
        # A buffer made in inference mode can be written in inference mode only: all are.
        with torch.inference_mode(), torch.cuda.stream(self._stream):
            self._locked = _STAGING.lend(tensor.nbytes)
            self._here().copy_(tensor, non_blocking=True)

    def land(self) -> np.ndarray:
        """Wait for the copy: an array in ordinary memory. The page-locked memory serves the next copy."""
        self._stream.synchronize()
        landed = copied(self._here().numpy())
        _STAGING.take_back(self._locked)
        return landed

    def _here(self) -> Tensor:
        return self._locked[: self._source.nbytes].view(self._source.dtype).view(self._source.shape)


def copied(source: np.ndarray) -> np.ndarray:
    """A copy of a contiguous array in memory of its own. The first touch of each fresh page takes longer than
    the copy itself, and threads touch side by side."""
    if source.nbytes < _COPIED_BY_ONE:
        return source.copy()
    target = np.empty(source.shape, source.dtype)
    pieces = zip(*(np.array_split(array.reshape(-1), _COPIERS) for array in (target, source)), strict=True)
    with ThreadPoolExecutor(_COPIERS) as threads:
        list(threads.map(lambda piece: np.copyto(*piece), pieces))
    return target


class Staging:
    """Page-locked buffers `[bytes]` uint8 that copies pass through. Locking pages stops the device for longer
    than a copy takes, so buffers are kept: as many as there ever were copies at the same time."""

    def __init__(self) -> None:
        self._spare: list[Tensor] = []
        self._guard = threading.Lock()

    def lend(self, size: int) -> Tensor:
        """A buffer of at least `size` bytes: the smallest spare one, else a new one in the place of the
        smallest."""
        with self._guard:
            self._spare.sort(key=len)
            for at, spare in enumerate(self._spare):
                if len(spare) >= size:
                    return self._spare.pop(at)
            del self._spare[:1]
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def take_back(self, buffer: Tensor) -> None:
        with self._guard:
            self._spare.append(buffer)


_STAGING = Staging()
