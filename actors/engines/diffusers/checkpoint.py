"""Model files -> modules, without network: what every family has in common.

Every way in ends in a `Component`, which is complete before a tensor is read: each tensor of the module is in
the file with its shape, and nothing else is there but what is known to be harmless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actors.engines.diffusers.configs import Config, State, UnsupportedCheckpoint
from actors.engines.diffusers.stored import fp8_scales, read_tensors
from jobs.weights.header import Tensor, Weights, WeightsFault, read_weights
from jobs.weights.numbers import is_note, unread_by_diffusers

MOST_NAMED = 3


@dataclass(frozen=True)
class Checkpoint:
    """A model file, or the folder of one diffusers component, with its header."""

    path: Path
    weights: Weights

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read the header of `path`. Raises `UnsupportedCheckpoint` where it has none."""
        try:
            return cls(path, read_weights(path))
        except (OSError, WeightsFault) as error:
            raise UnsupportedCheckpoint(str(error)) from error

    @property
    def configs(self) -> Config:
        """The configs in the metadata, by component; empty where there are none."""
        return self.weights.config

    def has(self, component: str) -> bool:
        """Whether the metadata describes `component` (`transformer`, `vae`, `text_encoder`,
        `latent_upsampler`).
        """
        return component in self.configs

    def state(self, prefix: str) -> State:
        """The tensors whose names start with `prefix`, without it, as stored."""
        names = [name for name in self.weights.tensors if name.startswith(prefix)]
        return {name[len(prefix) :]: tensor for name, tensor in self.read(names, None)}

    def read(self, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, torch.Tensor]]:
        """The named tensors, each in memory of its own, in `dtype` (None: as stored)."""
        yield from read_tensors(self.path, names, dtype)


@contextmanager
def reading_config(path: Path, what: str) -> Iterator[None]:
    """Turns what values of other types in a config raise, here and in diffusers, into
    `UnsupportedCheckpoint`."""
    try:
        yield
    except UnsupportedCheckpoint:
        raise
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        fault = f"{path.name}: the config of its {what} cannot be read ({error})"
        raise UnsupportedCheckpoint(fault) from error


@dataclass(frozen=True)
class Component:
    """One model: how it is built, and what its tensors are called in the file."""

    checkpoint: Checkpoint
    what: str
    build: Callable[[], Any]
    stored: Mapping[str, str]
    family: str = "LTX-Video"

    def shapes(self) -> dict[str, Tensor]:
        """The file's tensors by their names in the module."""
        return {name: self.checkpoint.weights.tensors[key] for name, key in self.stored.items()}

    def empty(self) -> Any:
        """The module without memory of its own. Raises `UnsupportedCheckpoint` where the file does not fill
        it.

        Drawing fresh weights for a model of 13 billion parameters in float32, only to replace them, takes
        minutes and 50 GiB.
        """
        with torch.device("meta"), reading_config(self.checkpoint.path, self.what):
            module = self.build()
        fault = self._misfit({name: tuple(tensor.shape) for name, tensor in module.state_dict().items()})
        if fault:
            raise UnsupportedCheckpoint(f"{self.checkpoint.path.name}: {fault}")
        return module

    def load(self, dtype: torch.dtype | None = None) -> Any:
        """The module in eval mode with the file's weights, in `dtype` (default: as stored)."""
        module = self.empty()
        names = {self.stored[name]: name for name in module.state_dict()}
        state = {names[key]: tensor for key, tensor in self.checkpoint.read(names, dtype)}
        module.load_state_dict(state, strict=True, assign=True)
        return module.eval().requires_grad_(False)

    def again(self, names: Iterable[str], dtype: torch.dtype | None) -> Iterator[tuple[str, torch.Tensor]]:
        """Tensors by their names in the module, as `load` gives it them, read once more."""
        keys = {self.stored[name]: name for name in names}
        for key, tensor in self.checkpoint.read(keys, dtype):
            yield keys[key], tensor

    def fp8_scales(self) -> dict[str, torch.Tensor]:
        """Scales of the weights that the file has in float8_e4m3fn, by their names in the module."""
        wanted = {key: name for name, key in self.stored.items() if name.endswith(".weight")}
        return {wanted[key]: scale for key, scale in fp8_scales(self.checkpoint.path, wanted).items()}

    def _misfit(self, wanted: Mapping[str, tuple[int, ...]]) -> str:
        """What keeps the file from filling the module, empty where nothing does."""
        found = self.checkpoint.weights.tensors
        quantised = unread_by_diffusers(self.checkpoint.weights, self.shapes())
        if quantised:
            return f"its weights are {quantised}, which this engine does not read"
        missing = [name for name in wanted if name not in self.stored]
        if missing:
            return f"{listed(missing)} of this {self.what} {verb(missing)} missing"
        over = [key for name, key in self.stored.items() if name not in wanted and not is_note(key)]
        if over:
            return f"{listed(over)} {verb(over)} no tensor of an {self.family} {self.what}"
        for name, shape in wanted.items():
            stored = found[self.stored[name]].shape
            if stored != shape:
                return f"{self.stored[name]} is {list(stored)}, and {list(shape)} in this {self.what}"
        return ""


def open_component(path: Path, what: str, make: Callable[[Checkpoint], Component]) -> Component:
    """The component that `make` finds in a file. Raises `UnsupportedCheckpoint`."""
    with reading_config(path, what):
        return make(Checkpoint.open(path))


def listed(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def verb(names: list[str]) -> str:
    """What follows them in a sentence."""
    return "are" if len(names) > 1 else "is"
