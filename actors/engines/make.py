"""Engines by name, each imported when it is asked for."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from jobs.spec.engine import EngineConfig


def make_engine(config: EngineConfig, device: str, threads: int, streamed: Collection[str] = ()) -> Engine:
    """The engine that `config` names, on `device` (`cpu`, `cuda`, `cuda:1`), not yet set up.

    `threads` is the number of CPU threads it may use. The blocks of `streamed` models stay in host memory:
    the diffusers engine alone has to be asked for it, ComfyUI's core brings over as much as it has room for.
    Raises `CannotRun` where its packages are missing.
    """
    match config.name:
        case "fake":
            from actors.engines.fake import FakeEngine

            return FakeEngine(config.fake)
        case "diffusers":
            from actors.engines.diffusers.engine import DiffusersEngine

            return DiffusersEngine(config, device, threads, streamed)
        case "comfyui":
            from actors.engines.comfyui.engine import ComfyEngine

            return ComfyEngine(config, device, threads)
