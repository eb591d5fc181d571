"""Which models are loaded, and which of them occupy the device."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import torch

from actors.device import overcome


class Residents:
    """Models by name, loaded at first use and moved to the device when needed.

    A model that does not fit beside the others makes them leave for host memory: slower, same bytes.
    """

    def __init__(self, device: torch.device, load: dict[str, Callable[[], Any]]) -> None:
        self.device = device
        self._load = load
        self._models: dict[str, Any] = {}
        self._placed: set[str] = set()
        self._streamed: set[str] = set()
        self._streams = False

    def get(self, name: str) -> Any:
        """The model, on the device and ready to run."""
        if name not in self._models:
            self._models[name] = self._load[name]()
        self._settle(name)
        return self._models[name]

    def empty_cache(self) -> None:
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def evict(self) -> None:
        """Move every model to host memory."""
        for name, model in self._models.items():
            if name not in self._streamed:
                model.to(torch.device("cpu"))
        self._placed.clear()
        self.empty_cache()

    def stream(self) -> None:
        """From now on keep transformers in host memory and bring them over block by block."""
        self._streams = self.device.type == "cuda"
        self.evict()

    def close(self) -> None:
        self._models.clear()
        self._placed.clear()
        self._streamed.clear()
        self.empty_cache()

    def _settle(self, name: str) -> None:
        if name in self._placed or name in self._streamed:
            return
        model = self._models[name]
        if self._streams and hasattr(model, "transformer"):
            _stream_blocks(model.transformer, self.device)
            self._streamed.add(name)
            return
        try:
            self._move(model)
        except torch.OutOfMemoryError:
            overcome()
            self.evict()
            self._move(model)
        self._placed.add(name)

    def _move(self, model: Any) -> None:
        """Asking thousands of parameters where they are takes milliseconds: done once, not for every step."""
        if self.device.type != "cpu":
            model.to(self.device)


def _stream_blocks(transformer: Any, device: torch.device) -> None:
    from diffusers.hooks import apply_group_offloading

    apply_group_offloading(
        transformer,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
    )
