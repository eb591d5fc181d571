"""Configs and tensors of model files, and the error for what no family's modules can express. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Config = Mapping[str, Any]

State = dict[str, "torch.Tensor"]


class UnsupportedCheckpoint(ValueError):
    """The file is no LTX-Video checkpoint, or has a block that the diffusers modules cannot express."""
