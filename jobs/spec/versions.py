"""The versions of the spec's format, and what left it: a field that is gone or renamed raises the version."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.spec.engine import COMFYUI_PATH

if TYPE_CHECKING:
    from jobs.places import Location

NEWEST = 3


def _comfyui(folder: Any) -> str:
    named = shlex.quote(folder[:200]) if isinstance(folder, str) and folder else "FOLDER"
    return f"give --comfyui {named} or set {COMFYUI_PATH}={named}"


def _pickles(allowed: Any) -> str:
    return "give --allow-pickle if you trust the weights" if allowed is True else "give no --allow-pickle"


def _guided(guided: Any) -> str:
    return "write `joint: none`" if guided is False else "write `joint: overlap`"


def sound_fields(audio: Any) -> dict[str, Any] | None:
    """What `audio` of a video said, in the fields that say it now; None for what it could not say."""
    if audio is None:
        return {"sound": []}
    if audio == "generate":
        return {"sound": [{"generate": True}]}
    if not isinstance(audio, dict):
        return None
    track = {AUDIO_FIELDS.get(name, name): value for name, value in audio.items() if name != "sample_rate"}
    if track.get("mode") == "generate":
        track["generate"] = bool(track.pop("mode"))
    mix = {"mix": {"sample_rate": audio["sample_rate"]}} if "sample_rate" in audio else {}
    return {"sound": [track], **mix}


AUDIO_FIELDS = {"offset": "at"}
"""Fields of `audio` that a track has under another name."""


def _audio(audio: Any) -> str:
    fields = sound_fields(audio) or {}
    track = fields.get("sound") or [{}]
    if track[0].get("generate"):
        return "write `sound: [{generate: true}]`"
    return "write `sound: [{file: ..., at: ...}]`" if "at" in track[0] else "write `sound: [{file: ...}]`"


@dataclass(frozen=True, slots=True)
class Removed:
    """Why a field left, and what says it instead, given the value that stood there. `rewritten`: `farm
    migrate` writes that, too."""

    rule: str
    instead: Callable[[Any], str]
    rewritten: bool = False


_CODE = "a spec is data; code is named on the command line"
REMOVED: dict[Location, Removed] = {
    ("engine", "comfyui"): Removed(_CODE, _comfyui),
    ("engine", "allow_pickle"): Removed(_CODE, _pickles),
    ("upscale", "guided"): Removed("`joint` says what chunks share", _guided),
}
"""What specs of version 1 could say, in sections."""

AUDIO = Removed("`sound` is a list of tracks", _audio, rewritten=True)
"""`audio` of a video, in specs of version 2."""


def removed_at(location: Location) -> Removed | None:
    """What left the spec at a place; None where nothing did."""
    if len(location) == 3 and location[0] == "videos" and location[2] == "audio":
        return AUDIO
    return REMOVED.get(location)
