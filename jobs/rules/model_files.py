"""Model files that the spec names by path can be read, seen by their headers, without loading any; LoRAs of
shots go by one path."""

from __future__ import annotations

import filecmp
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.places import shown
from jobs.rules.files import PARTS, PICKLED, model_references, pickled_weights, shot_loras
from jobs.rules.findings import BrokenRule
from jobs.spec.base import is_there
from jobs.spec.fields import all_settings
from jobs.weights.header import GGUF, SAFE, WeightsFault, read_weights, shards

if TYPE_CHECKING:
    from jobs.places import Location
    from jobs.spec.job import JobSpec

RULE = "a whole model file, .safetensors or .gguf, or a folder of them"


def check_model_files(spec: JobSpec) -> Iterator[BrokenRule]:
    """Files and folders on this machine are whole and of a kind that engines read."""
    if spec.engine.name == "fake":
        return
    for location, reference in (*model_references(spec), *shot_loras(spec)):
        path = Path(reference)
        fault = model_fault(path) if is_there(path) else ""
        if fault:
            yield BrokenRule(location, f"{shown(reference)}: {fault}", RULE, "download or copy it again")


def check_lora_copies(spec: JobSpec) -> Iterator[BrokenRule]:
    """A shot replaces a LoRA of the engine's by its path, and digests know it by its content: the same file
    under another path would be added, and its results be taken for those of one that replaces."""
    always: list[tuple[Location, str]] = [
        (("engine", "loras", i, "path"), lora.path) for i, lora in enumerate(spec.engine.loras)
    ]
    same = cache(_is_copy)
    for where, settings in all_settings(spec):
        before = list(always)
        for index, lora in enumerate(getattr(settings, "loras", ())):
            here: Location = (*where, "loras", index, "path")
            found = next((each for each in before if same(lora.path, each[1])), None)
            if found is not None:
                rule = f"each LoRA under one path: {shown(found[1])} is the same file"
                remedy = f"write `path: {found[1]}`, or leave one of the two out"
                yield BrokenRule(here, shown(lora.path), rule, remedy, (found[0],))
            before.append((here, lora.path))


def _is_copy(path: str, other: str) -> bool:
    """Whether two paths lead to one content; files of equal length are read as far as they agree."""
    try:
        return path != other and filecmp.cmp(path, other, shallow=False)
    except OSError:
        return False


def model_fault(path: Path) -> str:
    """Why a model file or folder cannot be read, empty where it can."""
    try:
        return _folder_fault(path) if path.is_dir() else _file_fault(path)
    except WeightsFault as fault:
        return str(fault)
    except OSError as error:
        return f"{path.name} cannot be read ({error.strerror})"


def _file_fault(path: Path) -> str:
    """Pickles are refused, or allowed, by another rule, and have no header."""
    suffix = path.suffix.lower()
    if suffix in (*SAFE, GGUF):
        read_weights(path)
    elif suffix not in PICKLED:
        return f"{path.name} is of no kind that holds weights"
    return ""


def _folder_fault(path: Path) -> str:
    """A folder of parts, or one part: what there is of each is whole. A folder of pickles is refused by
    another rule."""
    folders = [part for part in (path, *(path / name for name in PARTS)) if part.is_dir()]
    if any(pickled_weights(folder) for folder in folders):
        return ""
    held = [folder for folder in folders if shards(folder)]
    for folder in held:
        read_weights(folder)
    return "" if held else f"{path.name} holds no .safetensors"
