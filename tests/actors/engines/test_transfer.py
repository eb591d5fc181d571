"""Frames leave the device while it works on: the protocol, with a stand-in for the device."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from actors.engines import transfer
from actors.engines.base import FramesElsewhere


@dataclass
class Device:
    """Records what the transfer asks of CUDA."""

    calls: list[str] = field(default_factory=list)

    def stream(self, name: str) -> Any:
        return SimpleNamespace(synchronize=lambda: self.calls.append(f"wait {name}"))

    def module(self) -> Any:
        @contextlib.contextmanager
        def within(stream: Any) -> Iterator[None]:
            self.calls.append("copy")
            yield

        cuda = SimpleNamespace(
            current_stream=lambda device: self.stream("decoder"),
            Stream=lambda device: self.stream("copy"),
            stream=within,
        )
        return SimpleNamespace(empty=self.lock, uint8=torch.uint8, cuda=cuda)

    def lock(self, size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        assert pin_memory
        self.calls.append(f"lock {size}")
        return torch.empty(size, dtype=dtype)


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(transfer, "torch", device.module())
    monkeypatch.setattr(transfer, "_STAGING", transfer.Staging())
    return device


def test_the_copy_starts_when_the_decoder_is_done_and_is_waited_for_on_landing(device: Device) -> None:
    frames = torch.arange(5 * 2 * 2 * 3, dtype=torch.uint8).view(5, 2, 2, 3)
    flight = transfer.DeviceFrames(frames)[1:3].send()
    assert device.calls == ["wait decoder", "lock 24", "copy"]
    np.testing.assert_array_equal(flight.land(), frames[1:3].numpy())
    assert device.calls[-1] == "wait copy"


def test_page_locked_memory_is_used_again_and_landed_frames_stay_as_they_are(device: Device) -> None:
    clips = [torch.full((3, 2, 2, 3), fill, dtype=torch.uint8) for fill in (1, 2, 3)]
    together = [transfer.DeviceFrames(clip).send() for clip in clips[:2]]
    landed = [flight.land() for flight in together]
    landed.append(transfer.DeviceFrames(clips[2][:2]).send().land())
    assert [call for call in device.calls if call.startswith("lock")] == ["lock 36", "lock 36"]
    for frames, clip in zip(landed, clips, strict=True):
        np.testing.assert_array_equal(frames, clip[: len(frames)].numpy())


def test_a_buffer_that_is_too_small_gives_way(device: Device) -> None:
    for count in (1, 4, 2):
        transfer.DeviceFrames(torch.zeros(count, 2, 2, 3, dtype=torch.uint8)).send().land()
    assert [call for call in device.calls if call.startswith("lock")] == ["lock 12", "lock 48"]


def test_device_frames_count_and_cut() -> None:
    frames = transfer.DeviceFrames(torch.zeros(9, 2, 2, 3, dtype=torch.uint8))
    assert isinstance(frames, FramesElsewhere)
    assert (len(frames), len(frames[8:])) == (9, 1)


def test_host_frames_are_there_at_once_and_contiguous() -> None:
    frames = transfer.deliver(torch.zeros(3, 9, 2, 2, dtype=torch.uint8).permute(1, 2, 3, 0))
    assert isinstance(frames, np.ndarray) and frames.flags["C_CONTIGUOUS"]
    assert not isinstance(frames, FramesElsewhere)
