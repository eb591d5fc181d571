"""Weights stay in their file until they are used: all workers of a node share what is mapped. A copy would be
40 GB of its memory for each worker of LTX-2."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

ALIGNMENT = 64
"""Of what torch allocates. Products on a CPU may have other bits where weights begin elsewhere."""
ASSIGN = "assign_to_params_buffers"


@contextmanager
def weights_in_place(device: torch.device) -> Iterator[None]:
    """Inside, modules that core loads take the tensors of the file as they are, where core would copy them
    into its own: those that keep number type and place. `device` is where they will be used."""
    load = torch.nn.Module._load_from_state_dict

    def loaded(module: Any, weights: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        if metadata is not None and _all_fit(module, weights, prefix, device):
            metadata = {**metadata, ASSIGN: True}
        load(module, weights, prefix, metadata, *rest)

    torch.nn.Module._load_from_state_dict = loaded  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        torch.nn.Module._load_from_state_dict = load  # type: ignore[method-assign]


def _all_fit(module: torch.nn.Module, weights: Any, prefix: str, device: torch.device) -> bool:
    own = {**module._parameters, **module._buffers}
    pairs = [(value, weights[prefix + name]) for name, value in own.items() if prefix + name in weights]
    return all(value is not None and _fits(value, given, device) for value, given in pairs)


def _fits(own: torch.Tensor, given: torch.Tensor, device: torch.device) -> bool:
    same = (own.shape, own.dtype, own.device) == (given.shape, given.dtype, given.device)
    return same and (device.type != "cpu" or given.data_ptr() % ALIGNMENT == 0)
