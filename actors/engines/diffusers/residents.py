"""Which models are loaded, and which of them occupy the device."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from typing import Any

import torch

from actors.device import overcome
from actors.engines.diffusers.streamed import Streams

PROMPTS = "prompts"
"""The text encoder with what is behind it: the largest model beside the transformer, used first and then no
more. It is dropped and not moved to host memory, which it would fill: its files are there to load it again.
"""
CPU = torch.device("cpu")


class Residents:
    """Models by name, loaded at first use and moved to the device when needed.

    A model that does not fit beside the others makes the text encoder leave, and then all of them: slower,
    same bytes.
    """

    def __init__(self, device: torch.device, load: dict[str, Callable[[], Any]]) -> None:
        self.device = device
        self._load = load
        self._models: dict[str, Any] = {}
        self._placed: set[str] = set()
        self._streamed: set[str] = set()

    def get(self, name: str) -> Any:
        """The model, on the device and ready to run."""
        self._settle(name)
        return self._models[name]

    def model(self, name: str) -> Any:
        """The model, wherever its weights are."""
        if name not in self._models:
            self._models[name] = self._load[name]()
        return self._models[name]

    def prepare(self, name: str) -> None:
        """Load a model before its first use, and place it unless it finds no room beside the text encoder:
        then it waits in host memory until prompts are encoded."""
        if PROMPTS not in self._placed:
            self.get(name)
        elif not self._moved(name):
            self.model(name).to(CPU)
            self.empty_cache()

    def empty_cache(self) -> None:
        """Gives back what is kept for speed alone."""
        for model in self._models.values():
            if hasattr(model, "recorder"):
                model.recorder.forget()
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def drop_prompts(self) -> None:
        """Forget the text encoder until there is a prompt again."""
        if self._models.pop(PROMPTS, None) is not None:
            self._placed.discard(PROMPTS)
            self.empty_cache()

    def evict(self) -> None:
        """Move every model to host memory, but the text encoder, which is dropped."""
        self._models.pop(PROMPTS, None)
        for model in self._models.values():
            model.to(CPU)
        self._placed.clear()
        self.empty_cache()

    def stream(self, names: Iterable[str]) -> None:
        """From now on the blocks of these models stay in host memory and are brought over one by one."""
        self._streamed.update(names)
        self.evict()

    def close(self) -> None:
        self._models.clear()
        self._placed.clear()
        self.empty_cache()

    def _settle(self, name: str) -> None:
        if name in self._placed:
            return
        # No variable here holds a model: the text encoder, too, may be dropped in order to be loaded anew.
        for make_room in (self.drop_prompts, self.evict) if PROMPTS in self._placed else (self.evict,):
            if self._moved(name):
                return
            make_room()
        self._move(name)

    def _moved(self, name: str) -> bool:
        """Whether there was room on the device. Where there was none, that counts as made good: the caller
        makes some, or does without."""
        try:
            self._move(name)
        except torch.OutOfMemoryError:
            overcome()
            return False
        return True

    def _move(self, name: str) -> None:
        """Asking thousands of parameters where they are takes milliseconds: done once, not for every step."""
        model = self.model(name)
        if name in self._streamed and isinstance(model, Streams):
            model.stream(self.device)
        if self.device.type != "cpu":
            model.to(self.device)
        self._placed.add(name)
