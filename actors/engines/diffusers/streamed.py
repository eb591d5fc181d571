"""Models whose blocks stay in host memory: each is on the device for as long as it computes.

A forward brings all of them over, one by one, so the largest block is what they take of the device. What is
computed, by which kernels and from which numbers, is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn


@runtime_checkable
class Streams(Protocol):
    """A model that can be larger than its device."""

    def stream(self, device: torch.device) -> None:
        """From now on its blocks stay where they are, in host memory, and `to` moves all but them."""


def stream_blocks(blocks: Iterable[nn.Module], device: torch.device) -> None:
    """Bring each block to the device for as long as it computes; moving the model it is a part of leaves it
    where it is. Its weights stay there beside what is brought over: nothing is copied back."""
    for block in blocks:
        if "_apply" not in vars(block):
            _stream(block, device)


def blocks_of(encoder: nn.Module) -> Iterator[nn.Module]:
    """The layers of a text encoder, whatever its parts are called: what stands in a list of modules that is
    in no other one."""
    for part in encoder.children():
        yield from part if isinstance(part, nn.ModuleList) else blocks_of(part)


def _stream(block: nn.Module, device: torch.device) -> None:
    at_home = [(places, name, places[name]) for places, name in _weights(block)]

    def bring(*_: Any) -> None:
        for places, name, home in at_home:
            places[name] = _brought(home, device)

    def leave(*_: Any) -> None:
        for places, name, home in at_home:
            places[name] = home

    block.register_forward_pre_hook(bring)
    block.register_forward_hook(leave, always_call=True)
    # What `to` of the whole model calls for each of its modules.
    block._apply = lambda *_, **__: block  # type: ignore[method-assign]


def _weights(block: nn.Module) -> Iterator[tuple[dict[str, Any], str]]:
    """Where its modules keep each of their parameters and buffers."""
    for module in block.modules():
        for places in (module._parameters, module._buffers):
            yield from ((places, name) for name, weight in places.items() if weight is not None)


def _brought(weight: Tensor, device: torch.device) -> Tensor:
    if isinstance(weight, nn.Parameter):
        return nn.Parameter(weight.data.to(device), requires_grad=False)
    return weight.to(device)
