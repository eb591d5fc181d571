"""Handing memory over between stages. Nodes always free; a pinned worker keeps its models."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


def free_vram() -> None:
    """Unload every model ComfyUI holds on the device and give the memory back to the driver."""
    import comfy.model_management
    import torch

    comfy.model_management.unload_all_models()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    comfy.model_management.soft_empty_cache()


def load_piecewise() -> None:
    """From now on weights reach the device layer by layer while a model runs: same bytes, least memory."""
    import comfy.model_management as management

    if management.vram_state in (management.VRAMState.NORMAL_VRAM, management.VRAMState.HIGH_VRAM):
        management.vram_state = management.VRAMState.NO_VRAM


@contextmanager
def freed_on_error() -> Iterator[None]:
    """Free when the body fails, so that a failed prompt does not leave the device full."""
    try:
        yield
    except BaseException:
        free_vram()
        raise
