"""Which LoRAs are in the weights while a task runs, and what it takes to merge others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from actors.models import TINY_CHECKPOINT
from farm.topology.file_sizes import gib, parts_in, parts_of
from jobs.planning.params import PassParams
from jobs.planning.rounds.params import TileParams
from jobs.spec.engine import merged_loras

if TYPE_CHECKING:
    from farm.topology.file_sizes import Parts
    from jobs.spec.engine import EngineConfig, LoraUse
    from jobs.tasks.task import StageTask

MERGED_GIB_PER_S = 4.0
"""Weights of a transformer that are read and merged with LoRAs anew, 4.0 to 4.4 on an H200 (docs/gpu.md)."""


@dataclass(frozen=True, slots=True)
class LoraSets:
    """The set that each task runs with, in words; of tasks that run with any, and where all run with one,
    there is none. A worker goes from one to another in `merge_s` seconds."""

    by_task: Mapping[str, str] = field(default_factory=dict)
    merge_s: float = 0.0

    def of(self, task: StageTask) -> str:
        """The set of a task; empty where it runs with any."""
        return self.by_task.get(task.id, "")

    @property
    def swap_s(self) -> dict[str, float]:
        """Seconds to merge each set."""
        return dict.fromkeys(self.by_task.values(), self.merge_s)


def lora_sets(engine: EngineConfig, tasks: Iterable[StageTask]) -> LoraSets:
    """Those of a job's tasks. None where the model's size is unknown."""
    loras = [(lora.path, lora.strengths) for lora in engine.loras]
    found: dict[str, tuple[LoraUse, ...]] = {}
    for task in tasks if engine.name == "diffusers" else ():
        params = task.params
        if isinstance(params, PassParams | TileParams) and params.sampling.denoises:
            found[task.id] = merged_loras(loras, params.which, params.loras)
    model = _model(engine)
    if model is None or len(set(found.values())) < 2:
        return LoraSets()
    words = _words(set(found.values()))
    return LoraSets(
        {task: words[each] for task, each in found.items()},
        gib([model], *model, value_bytes=None) / MERGED_GIB_PER_S,
    )


def _model(engine: EngineConfig) -> Parts | None:
    field = "diffusion_model" if engine.diffusion_model else "checkpoint"
    name = getattr(engine, field)
    return parts_of(engine, field, name) if name else parts_in(TINY_CHECKPOINT, field)


def _words(sets: Iterable[tuple[LoraUse, ...]]) -> dict[tuple[LoraUse, ...], str]:
    """`anna.safetensors 0.8, style.safetensors 0.5`, with the whole path where two files have one name."""
    listed = list(sets)
    count = Counter(Path(path).name for path in {path for each in listed for path, _ in each})
    return {
        each: ", ".join(f"{_name(path, count)} {strength}" for path, strength in each) or "no LoRA"
        for each in listed
    }


def _name(path: str, count: Counter[str]) -> str:
    name = Path(path).name
    return name if count[name] == 1 else path
