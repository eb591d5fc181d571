"""The model files that the engine section names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from farm.doctor.finding import Finding, Level, fail, ok
from jobs.errors import FarmError, InputError
from jobs.extras import lacking
from jobs.rules.model_files import model_fault
from jobs.spec.engine import EngineConfig

if TYPE_CHECKING:
    from actors.engines.diffusers.files import ModelFiles

GIB = 2**30
AGAIN = "download or copy it again, or restore its permissions"


def check_models(engine: EngineConfig | None) -> Iterator[Finding]:
    """There, readable and whole; for ComfyUI, names in its own model folders are left to the ComfyUI
    check."""
    if engine is not None and engine.name != "diffusers":
        yield from _named_files(engine)
        return
    from actors.engines.diffusers.files import find_files

    try:
        files = find_files(engine or EngineConfig())
    except FarmError as error:
        yield fail("models", _said(error), "correct the path, or download the model first")
        return
    findings = [_found(path) for path in files.paths()]
    yield from findings
    if all(finding.level is Level.OK for finding in findings):
        yield from _misfits(files)


def _misfits(files: ModelFiles) -> Iterator[Finding]:
    """Files whose tensors are not those of the modules that they are for; no tensor is read. In a light
    install there are no modules to compare them with, which the device's check says."""
    if lacking("torch", "diffusers"):
        return
    import torch

    from actors.engines.diffusers.ltx2.loading import Ltx2Loader
    from actors.engines.diffusers.ltx_video.loading import Loader

    loader = (Ltx2Loader if files.makes_sound else Loader)(files, torch.float32)
    for problem in loader.misfits():
        yield fail("models", f"{problem.place} {problem.value}: {problem.rule}", problem.remedy)


def _said(error: FarmError) -> str:
    """One line: every entry that cannot be found."""
    if isinstance(error, InputError):
        return "; ".join(f"{problem.place} {problem.value}: {problem.rule}" for problem in error.problems)
    return str(error)


def _named_files(engine: EngineConfig) -> Iterator[Finding]:
    names = (
        engine.checkpoint,
        engine.diffusion_model,
        engine.vae,
        *engine.text_encoders,
        engine.upscale_model,
        engine.temporal_upscale_model,
        engine.audio_vae,
        *(lora.path for lora in engine.loras),
    )
    yield from (_found(Path(name)) for name in names if name and Path(name).is_absolute())


def _found(path: Path) -> Finding:
    if fault := model_fault(path):
        return fail("models", f"{path}: {fault}", AGAIN)
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    size = sum(file.stat().st_size for file in files)
    return ok("models", f"{path} ({size / GIB:.2f} GiB)")
