"""Bring one ComfyUI up as a library: no server, no prompt queue, no custom nodes.

One ComfyUI per process: its modules have global names (`comfy`, `nodes`, `folder_paths`) and global state.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import CannotRun

_booted: Path | None = None


@dataclass(frozen=True, slots=True)
class BootOptions:
    """What is fixed for the life of the process.

    `device` is "cpu", "cuda" or "cuda:N".
    """

    root: Path
    device: str = "cuda"


def boot(options: BootOptions) -> None:
    """Import ComfyUI from `options.root`; a second call with the same root does nothing.

    Raises CannotRun when the root is no ComfyUI, another one is loaded, or a package it needs is missing.
    """
    global _booted
    root = options.root.resolve()
    if _booted == root:
        return
    _refuse_impossible(root)
    _extend_path(root)
    try:
        _set_device(options.device)
        _import_core()
    except ModuleNotFoundError as error:
        raise CannotRun(
            f"ComfyUI at {root} needs the package {error.name!r}, which this Python lacks: "
            f"run `{sys.executable} -m pip install -r {root / 'requirements.txt'}`."
        ) from error
    _load_model_paths(root)
    _booted = root


def _refuse_impossible(root: Path) -> None:
    if not (root / "comfy" / "model_management.py").is_file():
        raise CannotRun(f"{root} holds no ComfyUI: give the folder that contains its main.py.")
    loaded = sys.modules.get("comfy")
    if loaded is not None and root not in Path(str(loaded.__path__[0])).resolve().parents:
        raise CannotRun(
            f"This process already runs the ComfyUI at {Path(str(loaded.__path__[0])).parent}, it cannot "
            f"load {root} too: use one worker process per ComfyUI."
        )


def _extend_path(root: Path) -> None:
    """Append, never insert: the root also holds `app`, `utils`, `server` and `tests`."""
    if str(root) not in sys.path:
        sys.path.append(str(root))


def _set_device(device: str) -> None:
    """`comfy.model_management` reads the arguments once, while it is imported."""
    from comfy.cli_args import args

    args.cpu = device == "cpu"
    if device.startswith("cuda:"):
        import torch

        torch.cuda.set_device(device)


def _import_core() -> None:
    import comfy.model_management
    import comfy.model_patcher
    import comfy.utils

    comfy.utils.set_progress_bar_enabled(False)
    # One release imports these by their bare names, which only works inside ComfyUI's own main.py.
    sys.modules.setdefault("model_management", comfy.model_management)
    sys.modules.setdefault("model_patcher", comfy.model_patcher)
    before = list(sys.path)
    import nodes  # noqa: F401

    # Older cores put <root>/comfy first, where `import utils` would find the wrong module.
    sys.path[:] = before


def _load_model_paths(root: Path) -> None:
    """The user's other model folders: `extra_model_paths.yaml` in the root, as main.py reads it."""
    spec = importlib.util.spec_from_file_location("_comfyui_extra_config", root / "utils" / "extra_config.py")
    if spec is None or spec.loader is None:
        raise CannotRun(f"{root} has no utils/extra_config.py: give a complete ComfyUI checkout.")
    config = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(config)
    path = root / "extra_model_paths.yaml"
    if path.is_file():
        config.load_extra_path_config(os.fspath(path))
