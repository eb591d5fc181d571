"""The ComfyUI that the engine would run, what its core has, and the models that it is asked for by name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from farm.doctor.finding import Finding, fail, ok, warn
from jobs.errors import CannotRun
from jobs.file_rules import IMAGE_FIELDS
from jobs.spec import Chunk, EngineConfig, JobSpec

FOUND_BY = "name it with --comfyui PATH, `engine.comfyui`, or the environment variable COMFYUI_PATH"


def check_comfyui(folder: str | None, spec: JobSpec | None) -> Iterator[Finding]:
    """Starts the core in a process of its own and asks for every API that the farm uses.

    What it lacks fails a spec that needs it, and is a warning otherwise.
    """
    engine = spec.engine if spec else None
    place = folder or (engine.comfyui if engine else None) or os.environ.get("COMFYUI_PATH")
    if not place:
        yield fail("comfyui", "no ComfyUI is named", FOUND_BY)
        return
    if not (Path(place) / "main.py").is_file():
        yield fail("comfyui", f"{place} holds no main.py", FOUND_BY)
        return
    yield from _core(Path(place), needed_features(spec))
    if engine is not None:
        yield from _models(Path(place), engine)


def needed_features(spec: JobSpec | None) -> frozenset[str]:
    """The features, by their names in the requirements, without which the spec cannot be rendered."""
    needed = {"sampling"}
    if spec is None:
        return frozenset(needed)
    if spec.upscale is not None:
        needed.add("upscale")
    if any(video.audio and video.audio.mode != "mux" for video in spec.videos):
        needed.add("audio")
    if any(_is_guided(chunk) for video in spec.videos for chunk in video.chunks):
        needed.add("guides")
    return frozenset(needed)


def _is_guided(chunk: Chunk) -> bool:
    images = (getattr(chunk.settings, field, None) for field in IMAGE_FIELDS)
    return chunk.extend is not None or any(images)


def _core(root: Path, needed: frozenset[str]) -> Iterator[Finding]:
    from actors.engines.comfyui.probe import probe

    try:
        report = probe(root)
    except CannotRun as error:
        fix = "pip install 'ltx-farm[comfyui]' and what its requirements.txt names"
        yield fail("comfyui", str(error), fix)
        return
    if report.usable:
        yield ok("comfyui", f"{report.version} at {root}")
    for name, line in zip(report.missing, report.lines(), strict=True):
        if report.missing[name]:
            level = fail if name in needed else warn
            yield level("comfyui", line, "update ComfyUI")


def _models(root: Path, engine: EngineConfig) -> Iterator[Finding]:
    """Models that are named without a path are looked for where ComfyUI keeps them."""
    names = (engine.checkpoint, engine.diffusion_model, engine.vae, engine.text_encoder, engine.upscale_model)
    for name in dict.fromkeys(filter(None, (*names, engine.audio_vae))):
        if Path(name).is_absolute():
            continue
        if any((folder / name).is_file() for folder in (root / "models").glob("*/")):
            yield ok("models", f"{name} in {root / 'models'}")
        else:
            fix = "put it there; if extra_model_paths.yaml names another folder, all is well"
            yield warn("models", f"{name} is in no folder of {root / 'models'}", fix)
