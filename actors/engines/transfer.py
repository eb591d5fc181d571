"""Decoded frames on their way from the device to host memory, while the device goes on with the next step."""

from __future__ import annotations

import threading

import numpy as np
import torch
from torch import Tensor


class DeviceFrames:
    """uint8 `[F, H, W, 3]`, contiguous, still on a CUDA device. Implements `FramesElsewhere`."""

    def __init__(self, frames: Tensor) -> None:
        self._frames = frames

    def __len__(self) -> int:
        return self._frames.shape[0]

    def __getitem__(self, which: slice) -> DeviceFrames:
        return DeviceFrames(self._frames[which])

    def send(self) -> FramesInFlight:
        """Wait for the decoder, then start the copy beside whatever the device does next."""
        torch.cuda.current_stream(self._frames.device).synchronize()
        return FramesInFlight(self._frames)


class FramesInFlight:
    """A copy into page-locked memory on a stream of its own."""

    def __init__(self, frames: Tensor) -> None:
        # Held until the copy has ended: the allocator would hand its memory to the next step.
        self._source = frames
        self._locked = _STAGING.lend(frames.numel())
        self._stream = torch.cuda.Stream(frames.device)
        with torch.cuda.stream(self._stream):
            self._here().copy_(frames, non_blocking=True)

    def land(self) -> np.ndarray:
        """Wait for the copy: an array in ordinary memory. The page-locked memory serves the next copy."""
        self._stream.synchronize()
        frames = self._here().numpy().copy()
        _STAGING.take_back(self._locked)
        return frames

    def _here(self) -> Tensor:
        return self._locked[: self._source.numel()].view(self._source.shape)


class Staging:
    """Page-locked buffers `[bytes]` uint8 that copies pass through. Locking pages stops the device for longer
    than a copy takes, so buffers are kept: as many as there ever were copies at the same time."""

    def __init__(self) -> None:
        self._spare: list[Tensor] = []
        self._guard = threading.Lock()

    def lend(self, size: int) -> Tensor:
        """A buffer of at least `size` bytes. A spare one that is too small gives way to it."""
        with self._guard:
            spare = self._spare.pop() if self._spare else None
        if spare is not None and len(spare) >= size:
            return spare
        return torch.empty(size, dtype=torch.uint8, pin_memory=True)

    def take_back(self, buffer: Tensor) -> None:
        with self._guard:
            self._spare.append(buffer)


_STAGING = Staging()


def deliver(frames: Tensor) -> np.ndarray | DeviceFrames:
    """What an engine's `decode` answers with: host frames on a CPU, frames to be sent for on a GPU."""
    frames = frames.contiguous()
    return frames.numpy() if frames.device.type == "cpu" else DeviceFrames(frames)
