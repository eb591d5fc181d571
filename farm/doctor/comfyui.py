"""The ComfyUI that the engine would run, what its core has, and the models that it is asked for by name."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from actors.engines.comfyui.core.probe import CoreReport, probe
from actors.engines.comfyui.core.requirements import GUIDERS, MODEL_FOLDERS
from actors.engines.comfyui.loading.model_kind import model_features
from farm.doctor.finding import Finding, fail, ok, warn
from farm.models.comfy_folders import find_model
from jobs.errors import CannotRun
from jobs.planning.expand import placed_chunks, variants
from jobs.planning.sampling import COMFYUI_PARAMS
from jobs.rules.files import IMAGE_FIELDS
from jobs.spec.engine import COMFYUI_PATH, EngineConfig
from jobs.spec.fields import all_settings

if TYPE_CHECKING:
    from jobs.spec.chunk import Chunk, Guider
    from jobs.spec.job import JobSpec

FOUND_BY = "name it with --comfyui FOLDER, or in the environment variable COMFYUI_PATH"


def check_comfyui(folder: str | None, spec: JobSpec | None) -> Iterator[Finding]:
    """Starts the core in a process of its own and asks for every API that the farm uses.

    What it lacks fails a spec that needs it, and is a warning otherwise.
    """
    engine = spec.engine if spec else None
    place = folder or os.environ.get(COMFYUI_PATH)
    if not place:
        yield fail("comfyui", "no ComfyUI is named", FOUND_BY)
        return
    if not (Path(place) / "main.py").is_file():
        yield fail("comfyui", f"{place} holds no main.py", FOUND_BY)
        return
    report = yield from _core(Path(place), needed_features(spec))
    if engine is not None:
        yield from _models(Path(place), engine, report)


def needed_features(spec: JobSpec | None) -> frozenset[str]:
    """The features, by their names in the requirements, without which the spec cannot be rendered."""
    needed = {"sampling"}
    if spec is None:
        return frozenset(needed)
    if spec.upscale is not None:
        needed.add("upscale")
    if any(track.is_sampled for video in spec.videos for track in video.sound):
        needed.add("audio")
    if any(_is_guided(placed.chunk) for variant in variants(spec) for placed in placed_chunks(variant)):
        needed.add("guides")
    for _, settings in all_settings(spec):
        needed |= _of_guider(settings.guider)
    return frozenset(needed) | _of_the_model(spec.engine)


def _of_guider(guider: Guider) -> set[str]:
    """What a guider asks for; some of its parameters newer cores alone."""
    own = {GUIDERS} if any(name not in COMFYUI_PARAMS for name in guider.params) else set()
    return {"stg"} | own if guider.name == "stg" else set()


def _of_the_model(engine: EngineConfig) -> frozenset[str]:
    """What the transformer's file asks for; nothing where it is not on this machine, or is damaged."""
    for field in ("diffusion_model", "checkpoint"):
        name = getattr(engine, field)
        path = find_model(engine, field, name) if name else None
        if path is not None and path.is_file():
            with suppress(OSError, ValueError):
                return frozenset(model_features(path))
    return frozenset()


def _is_guided(chunk: Chunk) -> bool:
    images = (getattr(chunk.settings, field, None) for field in IMAGE_FIELDS)
    return chunk.extend is not None or any(images) or bool(chunk.settings.images)


def _core(root: Path, needed: frozenset[str]) -> Generator[Finding, None, CoreReport | None]:
    """What the core has; returns its report, None where it does not start."""
    try:
        report = probe(root)
    except CannotRun as error:
        fix = "pip install '.[comfyui]' in the farm's checkout, and what ComfyUI's requirements.txt names"
        yield fail("comfyui", str(error), fix)
        return None
    if report.usable:
        yield ok("comfyui", f"{report.version} at {root}")
    for name, line in zip(report.missing, report.lines(), strict=True):
        if report.missing[name]:
            level = fail if name in needed else warn
            yield level("comfyui", line, "update ComfyUI")
    return report


def _models(root: Path, engine: EngineConfig, report: CoreReport | None) -> Iterator[Finding]:
    """Models that are named without a path are looked for where ComfyUI keeps them: in the folders of a core
    that starts, `extra_model_paths.yaml` included, otherwise in the usual ones."""
    for field, name in dict.fromkeys(_named(engine)):
        if Path(name).is_absolute():
            continue
        folders = _usual_folders(root) if report is None else _folders(report, field)
        holder = next((folder for folder in folders if (folder / name).is_file()), None)
        if holder is not None:
            yield ok("models", f"{name} in {holder}")
        elif report is None:
            fix = "put it there; if extra_model_paths.yaml names another folder, all is well"
            yield warn("models", f"{name} is in no folder of {root / 'models'}", fix)
        else:
            message = f"engine.{field}: {name} is not in {', '.join(map(str, folders))}"
            yield fail(
                "models", message, "put it there, name its folder in extra_model_paths.yaml, or correct it"
            )


def _named(engine: EngineConfig) -> Iterator[tuple[str, str]]:
    """(field, name) of every model that the spec names."""
    for field in MODEL_FOLDERS:
        value = getattr(engine, field)
        several = {"loras": [lora.path for lora in engine.loras], "text_encoder": engine.text_encoders}
        names = several.get(field, [value])
        yield from ((field, name) for name in names if name is not None)


def _usual_folders(root: Path) -> list[Path]:
    return sorted(folder for folder in (root / "models").glob("*/"))


def _folders(report: CoreReport, field: str) -> list[Path]:
    return [Path(folder) for kind in MODEL_FOLDERS[field] for folder in report.folders.get(kind, ())]
