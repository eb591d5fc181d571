"""Forwards of a transformer on a GPU that are recorded once and then played.

For one forward of LTX-2.3 the host launches thousands of kernels, one after the other. On short sequences
they end sooner than the host has launched the next, and other work of the host makes the device wait longer.
A recorded forward (a CUDA graph) is launched whole: the same kernels with the same arguments, so the same
bytes.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from actors.device import overcome
from jobs.planning.params import RECORDED_TOKENS

log = logging.getLogger(__name__)

MOST = 8
"""Forwards that are kept: those of a generate and of an extend, with four forwards a step."""

Given = Mapping[str, Any]
Made = tuple[Tensor, ...]


class Recording:
    """A forward as a CUDA graph, with the tensors that it reads and makes; in the memory of another one where
    there is one, as only one plays at a time."""

    def __init__(self, module: Any, given: Given, other: Recording | None) -> None:
        self._read = {name: value.clone() for name, value in given.items() if isinstance(value, Tensor)}
        self._graph = torch.cuda.CUDAGraph()
        pool = None if other is None else other._graph.pool()
        # Other threads bring results home meanwhile, which they may.
        with torch.cuda.graph(self._graph, pool=pool, capture_error_mode="thread_local"):
            self._made: Made = module(**{**given, **self._read})

    def __call__(self, given: Given) -> Made:
        """For other tensors of the same shapes. What is made holds until a recording is played again."""
        for name, read in self._read.items():
            read.copy_(given[name])
        self._graph.replay()
        return self._made


class Recorder:
    """Runs a transformer's forwards, and records those that come again.

    Recordings hold the activations of one forward, and know weights by their addresses: whoever moves these,
    or needs the memory, calls `forget`.
    """

    def __init__(self, record: Callable[[Any, Given, Any], Callable[[Given], Made]] = Recording) -> None:
        self._record = record
        self._seen: set[Hashable] = set()
        self._kept: OrderedDict[Hashable, Callable[[Given], Made]] = OrderedDict()
        self._fails = False

    def forget(self) -> None:
        """Gives the memory of the recordings back; what failed may be tried again."""
        self._drop()
        self._fails = False

    def _drop(self) -> None:
        self._kept.clear()
        self._seen.clear()

    def __call__(self, module: Any, given: Given) -> Made:
        """What `module(**given)` makes, tensors by keywords. The first forward of its kind runs as it is, so
        that all kernels are built and chosen when the second is recorded."""
        kind = _kind(given)
        if kind in self._seen and kind not in self._kept and self._may_record(module, given):
            self._add(kind, module, given)
        self._seen.add(kind)
        if kind in self._kept:
            self._kept.move_to_end(kind)
            return self._kept[kind](given)
        made: Made = module(**given)
        return made

    def _may_record(self, module: Any, given: Given) -> bool:
        """Not weights that come and go with each block; what cannot be recorded is not asked about again."""
        if not self._fails:
            devices = {weight.device for weight in chain(module.parameters(), module.buffers())}
            self._fails = devices != {given["hidden_states"].device}
        return not self._fails

    def _add(self, kind: Hashable, module: Any, given: Given) -> None:
        """Memory that runs out, or a kernel that cannot be recorded, costs speed only."""
        try:
            self._kept[kind] = self._record(module, given, next(iter(self._kept.values()), None))
        except RuntimeError as error:
            if isinstance(error, torch.OutOfMemoryError):
                overcome()
            log.warning("short forwards are launched kernel by kernel: they cannot be recorded (%s)", error)
            self._fails = True
        if self._fails:
            self._drop()
        elif len(self._kept) > MOST:
            self._kept.popitem(last=False)


def worth_recording(tokens: Tensor) -> bool:
    """Whether the device may wait for the host in a forward of these tokens `[B, N, D]`."""
    return tokens.is_cuda and tokens.shape[1] <= RECORDED_TOKENS


def _kind(given: Given) -> Hashable:
    """What a recording holds for: the shapes of tensors, and all else by its value."""
    return tuple((name, _value(value)) for name, value in given.items())


def _value(value: object) -> Hashable:
    match value:
        case Tensor():
            return tuple(value.shape), value.dtype
        case None | bool() | int() | float() | str():
            return value
        case list():
            return tuple(_value(each) for each in value)
    raise TypeError(f"a recording cannot tell one {type(value).__name__} from another")
