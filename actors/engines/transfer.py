"""Decoded frames on their way from the device to host memory, while the device goes on with the next step."""

from __future__ import annotations

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
        # The allocator keeps page-locked blocks for reuse: only the first few decodes pay for locking.
        self._host = torch.empty(frames.shape, dtype=frames.dtype, pin_memory=True)
        self._stream = torch.cuda.Stream(frames.device)
        with torch.cuda.stream(self._stream):
            self._host.copy_(frames, non_blocking=True)

    def land(self) -> np.ndarray:
        """Wait for the copy; the array owns the page-locked memory."""
        self._stream.synchronize()
        return self._host.numpy()


def deliver(frames: Tensor) -> np.ndarray | DeviceFrames:
    """What an engine's `decode` answers with: host frames on a CPU, frames to be sent for on a GPU."""
    frames = frames.contiguous()
    return frames.numpy() if frames.device.type == "cpu" else DeviceFrames(frames)
