"""The model files that the engine section names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from farm.doctor.finding import Finding, fail, ok
from jobs.errors import FarmError
from jobs.spec import EngineConfig

GIB = 2**30


def check_models(engine: EngineConfig | None) -> Iterator[Finding]:
    """Present and readable; for ComfyUI, names in its own model folders are left to the ComfyUI check."""
    if engine is not None and engine.name != "diffusers":
        yield from _named_files(engine)
        return
    from actors.engines.diffusers.files import find_files

    try:
        paths = find_files(engine or EngineConfig()).paths()
    except FarmError as error:
        yield fail("models", str(error), "correct the path, or download the model first")
        return
    yield from (_file(path) for path in paths)


def _named_files(engine: EngineConfig) -> Iterator[Finding]:
    names = (engine.checkpoint, engine.diffusion_model, engine.vae, engine.text_encoder, engine.upscale_model)
    yield from (_file(Path(name)) for name in names if name and Path(name).is_absolute())


def _file(path: Path) -> Finding:
    try:
        size = _size(path)
    except OSError as error:
        return fail("models", f"{path}: {error.strerror}", "restore the file or its permissions")
    if size == 0:
        return fail("models", f"{path} is empty", "download it again")
    return ok("models", f"{path} ({size / GIB:.2f} GiB)")


def _size(path: Path) -> int:
    """Bytes of a file or folder; opens one file to see that it can be read."""
    files = [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]
    for file in files[:1]:
        with file.open("rb") as opened:
            opened.read(8)
    return sum(file.stat().st_size for file in files)
