"""A spec for a model file: its recipe, known from its header, and the files that it needs beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from actors.models import TINY_CHECKPOINT
from jobs.commands import get_command
from jobs.errors import Problem, UsageError
from jobs.recipes.recipe import SECOND_PASS, ModelFile, Recipe, lora_entry, recipes, recipes_for
from jobs.spec.versions import NEWEST
from jobs.weights.describe import Description, describe
from jobs.weights.header import WeightsFault

SHOTS = """videos:
  - name: film
    shots:
      - name: harbor
        seconds: 8
        prompt: "a harbor at dawn, fog over still water, a fishing boat at its mooring"
        beats: [{at: 4, prompt: "the fog lifts, the boat leaves the harbor"}]
"""


def recognised(checkpoint: Path) -> tuple[Recipe, ...]:
    """The recipes of the model at `checkpoint`, that of a plain film first. Raises UsageError where it is
    none, or none that has one."""
    try:
        found = describe(checkpoint)
    except (OSError, WeightsFault) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _refused(checkpoint, reason, "give the path of a model file or folder") from None
    if "transformer" not in found.parts:
        holds = ", ".join(sorted(found.parts)) or "no part of a video model"
        raise _refused(checkpoint, f"holds {holds}", "name the file that holds the transformer")
    if checkpoint.exists() and checkpoint.samefile(TINY_CHECKPOINT):
        raise _refused(checkpoint, "is the bundled model", "leave out --checkpoint")
    fitting = recipes_for(found.family, found.version, found.size, found.variant)
    if not fitting:
        remedy = f"start from `farm init` without it; the recipes are for {', '.join(recipes())}"
        raise _refused(checkpoint, f"is {shown(found)}, for which there is no recipe", remedy)
    return fitting


def shown(found: Description) -> str:
    """`LTX-Video 13b 0.9.8 distilled`."""
    family = {"ltx-video": "LTX-Video", "ltx-2": "LTX-2"}.get(found.family, "a model of another family")
    size = found.size or ("" if found.family == "ltx-2" else "of another size")
    return " ".join(word for word in (family, size, found.version, found.variant) if word)


def spec_text(recipe: Recipe, checkpoint: Path, folder: Path) -> str:
    """The spec, YAML with comments, for a file in `folder`. Files of the recipe that lie beside the
    checkpoint, or where `farm models get` puts them, are named; others stand as comments."""
    lines = [
        f"# {recipe.title}. What stands here wins over the recipe; `farm plan` shows the numbers of both.",
        f"version: {NEWEST}",
        "name: film",
        f"recipe: {recipe.name}",
        "engine:",
        *([f"  name: {recipe.engines[0]}"] if recipe.engines[0] != "diffusers" else []),
        f"  {_field(recipe)}: {_path(checkpoint, folder)}",
        *_beside(recipe, checkpoint, folder),
    ]
    if recipe.two_passes:
        needed = [recipe.files[field] for field in SECOND_PASS if field in recipe.files]
        ready = all(_found(recipe, file, checkpoint) for file in needed)
        lines.append(f"{'' if ready else '# '}{_upscale(recipe)}")
    return "\n".join(lines) + "\n" + SHOTS


def _upscale(recipe: Recipe) -> str:
    size = "the second pass, at twice the size"
    if not recipe.temporal:
        return f"upscale: {{}}   # {size}"
    return f"upscale: {{temporal: {recipe.temporal}}}   # {size}, and as many times the frames; or 4"


def _beside(recipe: Recipe, checkpoint: Path, folder: Path) -> Iterator[str]:
    own = describe(checkpoint).parts
    for field, file in recipe.files.items():
        if field == "audio_vae" and file == recipe.model:
            yield f"  audio_vae: {_path(checkpoint, folder)}"
        elif file != recipe.model and field not in own:
            yield _line(recipe, field, file, checkpoint, folder)


def _line(recipe: Recipe, field: str, file: ModelFile, checkpoint: Path, folder: Path) -> str:
    found = _found(recipe, file, checkpoint)
    if found is not None and file.strength is not None:
        return f"  {field}: [{json.dumps(lora_entry(_plain(found, folder), file.strength))}]"
    if file.projection is not None:
        return _with_projection(recipe, field, file, checkpoint, folder)
    if found is not None:
        return f"  {field}: {_path(found, folder)}"
    fetch = get_command(recipe.name)
    if file.file is None:
        return f"  {field}: {file.repo}   # a hub id; `{fetch}` fetches what it needs"
    return f"  # {field}: {Path(file.file).name}   # `{fetch}` fetches it"


def _with_projection(recipe: Recipe, field: str, file: ModelFile, checkpoint: Path, folder: Path) -> str:
    """The folder of a text encoder and the file of its projection."""
    places = [_found(recipe, part, checkpoint) for part in (file, file.projection) if part is not None]
    named = [_plain(place, folder) for place in places if place is not None]
    if len(named) < len(places):
        return f"  # {field}: [FOLDER, FILE]   # `{get_command(recipe.name)}` fetches both"
    return f"  {field}: {json.dumps(named, ensure_ascii=False)}"


def _found(recipe: Recipe, file: ModelFile, checkpoint: Path) -> Path | None:
    """The file beside the checkpoint, or where `farm models get` puts it: as deep in the folder of its
    repository as the checkpoint lies in that of its own."""
    name, repo = file.file or "", file.repo.rpartition("/")[2]
    own = checkpoint.absolute()
    depth = min(len(Path(recipe.model.file or "").parts), len(own.parents) - 1)
    places = (own.parent / (Path(name).name or repo), own.parents[depth] / repo / name)
    return next((place for place in places if place.exists()), None)


def _field(recipe: Recipe) -> str:
    """The field of `engine` that names the transformer's file."""
    return next(field for field, file in recipe.files.items() if file == recipe.model)


def _path(path: Path, folder: Path) -> str:
    """As the spec writes it."""
    return json.dumps(_plain(path, folder), ensure_ascii=False)


def _plain(path: Path, folder: Path) -> str:
    """Relative where it lies in the spec's folder."""
    whole, home = path.absolute(), folder.absolute()
    return f"./{whole.relative_to(home)}" if whole.is_relative_to(home) else str(whole)


def _refused(checkpoint: Path, value: str, remedy: str) -> UsageError:
    rule = "a model of a family that has a recipe"
    return UsageError([Problem("--checkpoint", f"{checkpoint} {value}", rule, remedy)])
