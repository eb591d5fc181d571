"""The versions of the spec's format, and what left it: a field that is gone or renamed raises the version."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.spec.engine import COMFYUI_PATH

if TYPE_CHECKING:
    from jobs.places import Location

NEWEST = 2


def _comfyui(folder: Any) -> str:
    named = shlex.quote(folder[:200]) if isinstance(folder, str) and folder else "FOLDER"
    return f"give --comfyui {named} or set {COMFYUI_PATH}={named}"


def _pickles(allowed: Any) -> str:
    return "give --allow-pickle if you trust the weights" if allowed is True else "give no --allow-pickle"


def _guided(guided: Any) -> str:
    return "write `joint: none`" if guided is False else "write `joint: overlap`"


@dataclass(frozen=True, slots=True)
class Removed:
    """Why a field left, and what says it instead, given the value that stood there."""

    rule: str
    instead: Callable[[Any], str]


_CODE = "a spec is data; code is named on the command line"
REMOVED: dict[Location, Removed] = {
    ("engine", "comfyui"): Removed(_CODE, _comfyui),
    ("engine", "allow_pickle"): Removed(_CODE, _pickles),
    ("upscale", "guided"): Removed("`joint` says what chunks share", _guided),
}
"""What specs of version 1 could say."""
