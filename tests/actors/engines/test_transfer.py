"""Results leave the device while it works on: the protocol, with a stand-in for the device."""

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
from actors.engines.base import Arriving, FramesElsewhere, when_landed
from actors.payload import Payload


@dataclass
class Device:
    """Records what the transfer asks of CUDA."""

    calls: list[str] = field(default_factory=list)

    def stream(self) -> Any:
        return SimpleNamespace(
            synchronize=lambda: self.calls.append("land"),
            wait_stream=lambda other: self.calls.append(f"behind {other}"),
        )

    def module(self) -> Any:
        @contextlib.contextmanager
        def within(_stream: Any) -> Iterator[None]:
            self.calls.append("copy")
            yield

        cuda = SimpleNamespace(
            current_stream=lambda _: "decoder", Stream=lambda _: self.stream(), stream=within
        )
        return SimpleNamespace(
            empty=self.lock, uint8=torch.uint8, cuda=cuda, inference_mode=torch.inference_mode
        )

    def lock(self, size: int, dtype: torch.dtype, pin_memory: bool) -> torch.Tensor:
        assert pin_memory
        self.calls.append(f"lock {size}")
        return torch.empty(size, dtype=dtype)

    @property
    def locked(self) -> list[str]:
        return [call for call in self.calls if call.startswith("lock")]


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    device = Device()
    monkeypatch.setattr(transfer, "torch", device.module())
    monkeypatch.setattr(transfer, "_STAGING", transfer.Staging())
    return device


def clip(count: int, fill: int = 0) -> torch.Tensor:
    return torch.full((count, 2, 2, 3), fill, dtype=torch.uint8)


def test_the_copy_stands_behind_the_decoder_and_only_landing_waits(device: Device) -> None:
    frames = torch.arange(5 * 2 * 2 * 3, dtype=torch.uint8).view(5, 2, 2, 3)
    flight = transfer.DeviceFrames(frames)[1:3].send()
    assert device.calls == ["behind decoder", "copy", "lock 24"]
    np.testing.assert_array_equal(flight.land(), frames[1:3].numpy())
    assert device.calls[-1] == "land"


def test_page_locked_memory_is_used_again_and_what_landed_stays_as_it_is(device: Device) -> None:
    clips = [clip(3, fill) for fill in (1, 2, 3)]
    together = [transfer.InFlight(frames) for frames in clips[:2]]
    landed = [flight.land() for flight in together]
    landed.append(transfer.InFlight(clips[2][:2]).land())
    assert device.locked == ["lock 36", "lock 36"]
    for frames, source in zip(landed, clips, strict=True):
        np.testing.assert_array_equal(frames, source[: len(frames)].numpy())


def test_a_buffer_that_is_too_small_gives_way(device: Device) -> None:
    for count in (1, 4, 2):
        transfer.InFlight(clip(count)).land()
    assert device.locked == ["lock 12", "lock 48"]


def test_a_buffer_serves_inside_and_outside_of_inference_mode(device: Device) -> None:
    with torch.inference_mode():
        transfer.InFlight(clip(4)).land()
    np.testing.assert_array_equal(transfer.InFlight(clip(2, 7)).land(), clip(2, 7).numpy())
    assert len(device.locked) == 1


def test_latents_leave_the_large_buffer_to_frames(device: Device) -> None:
    latents, frames = torch.rand(1, 2), clip(4)
    for flight in [transfer.InFlight(latents), transfer.InFlight(frames)]:
        flight.land()
    together = [transfer.InFlight(latents), transfer.InFlight(frames)]
    assert device.locked == ["lock 8", "lock 48"]
    np.testing.assert_array_equal(together[0].land(), latents.numpy())


@pytest.mark.parametrize("shape", [(1, 3), (21, 2, 2, 3), (1, 4, 5, 2, 2)], ids=str)
def test_a_large_array_lands_whole_whatever_its_shape(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...]
) -> None:
    monkeypatch.setattr(transfer, "_COPIED_BY_ONE", 1)
    source = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    landed = transfer.copied(source)
    np.testing.assert_array_equal(landed, source)
    assert landed.flags.c_contiguous
    assert not np.shares_memory(landed, source)


def test_device_frames_count_and_cut() -> None:
    frames = transfer.DeviceFrames(clip(9))
    assert isinstance(frames, FramesElsewhere)
    assert (len(frames), len(frames[8:])) == (9, 1)


def test_host_results_are_there_at_once() -> None:
    frames = transfer.deliver(torch.zeros(3, 9, 2, 2, dtype=torch.uint8).permute(1, 2, 3, 0))
    assert isinstance(frames, np.ndarray)
    assert frames.flags["C_CONTIGUOUS"]
    assert not isinstance(frames, FramesElsewhere)
    latents = torch.rand(1, 2, 3)
    home = transfer.bring_home({"latents": latents})
    assert isinstance(home, Payload)
    np.testing.assert_array_equal(home["latents"], latents.numpy())
    assert transfer.to_device(latents, torch.device("cpu")) is latents


def test_what_is_made_of_a_result_waits_until_it_has_landed() -> None:
    landed: list[str] = []

    def land() -> Payload:
        landed.append("landed")
        return Payload({}, {"step": "raw"})

    def finish(raw: Payload) -> Payload:
        return Payload({}, {"step": raw.meta["step"] + ", joined"})

    assert when_landed(Payload({}, {"step": "raw"}), finish) == Payload({}, {"step": "raw, joined"})
    arriving = when_landed(Arriving(land), finish)
    assert isinstance(arriving, Arriving)
    assert not landed
    assert arriving.land() == Payload({}, {"step": "raw, joined"})
