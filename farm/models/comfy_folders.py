"""Where ComfyUI keeps its models, read off its folders: asking ComfyUI itself would load torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from actors.engines.comfyui.core.requirements import MODEL_FOLDERS
from jobs.spec.base import is_there

if TYPE_CHECKING:
    from jobs.spec.engine import EngineConfig

OLDER_NAMES: Mapping[str, tuple[str, ...]] = {"diffusion_models": ("unet",), "text_encoders": ("clip",)}
"""Kinds of folders that once had other names, which still count."""

EXTRA = "extra_model_paths.yaml"


def find_model(engine: EngineConfig, field: str, name: str) -> Path | None:
    """The file or folder of a model that the spec names by path or, for comfyui, as ComfyUI does; None where
    it is not on this machine. `field` is that of the engine section."""
    if is_there(Path(name)):
        return Path(name)
    root = engine.comfyui
    if engine.name != "comfyui" or not root:
        return None
    places = (folder / name for kind in MODEL_FOLDERS[field] for folder in _folders(Path(root), kind))
    return next(filter(is_there, places), None)


def _folders(root: Path, kind: str) -> Iterator[Path]:
    kinds = (kind, *OLDER_NAMES.get(kind, ()))
    for section in _extra_sections(root / EXTRA):
        base = Path(os.path.expandvars(str(section.get("base_path", "")))).expanduser()
        for name in kinds:
            lines = str(section.get(name, "")).splitlines()
            yield from (root / base / line.strip() for line in lines if line.strip())
    yield from (root / "models" / name for name in kinds)


def _extra_sections(path: Path) -> list[dict[str, Any]]:
    """The sections of `extra_model_paths.yaml`; none where it is missing or damaged."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return []
    sections = document.values() if isinstance(document, dict) else ()
    return [section for section in sections if isinstance(section, dict)]
