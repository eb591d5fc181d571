"""Is this a valid result? Checked before anything is committed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actors.engines.base import KEYFRAMES
from jobs.errors import BadOutput
from jobs.frames import SPATIAL, latents_of
from jobs.planning.params import DecodeParams, EncodeClip, EncodeImage, EncodeSource, PassParams
from jobs.planning.rounds.layout import canvas_seams
from jobs.planning.rounds.params import CanvasParams, TileParams

if TYPE_CHECKING:
    from actors.payload import Payload
    from jobs.spec.run import Verify
    from jobs.tasks.task import StageTask

log = logging.getLogger(__name__)

BLACK_LEVEL = 8
"""A frame is black when no channel of any pixel is brighter."""


def verify_output(task: StageTask, result: Payload | Path, rules: Verify) -> tuple[str, ...]:
    """Raise `BadOutput` for a result that must not be committed; returns the warnings that `rules` allow.

    A segment was checked when it was written.
    """
    if isinstance(result, Path):
        return ()
    _verify_numbers(result)
    _verify_shape(task, result)
    return _verify_pictures(task, result, rules)


def bad_output(message: str, result: Payload) -> BadOutput:
    """The error for `result`, with the SHA-256 of its arrays as evidence."""
    digest = hashlib.sha256()
    for name in sorted(result.arrays):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(result[name]).data)
    error = BadOutput(f"{message}; it is tried again on another worker")
    error.evidence = digest.hexdigest()
    return error


def latent_shape(task: StageTask) -> tuple[int, int, int] | None:
    """Latent frames, height and width that the task must deliver; None where it makes no video latents."""
    match task.params:
        case EncodeImage(width=width, height=height):
            return 1, height // SPATIAL, width // SPATIAL
        case EncodeClip(width=width, height=height, latents=latents):
            return latents, height // SPATIAL, width // SPATIAL
        case EncodeSource(width=width, height=height, frames=frames):
            return latents_of(frames), height // SPATIAL, width // SPATIAL
        case PassParams(width=width, height=height, span=span):
            return span.sampled, height // SPATIAL, width // SPATIAL
        case CanvasParams(width=width, height=height, latents=latents):
            return latents, height // SPATIAL, width // SPATIAL
        case TileParams(width=width, height=height, made=latents):
            return latents, height // SPATIAL, width // SPATIAL
    return None


def keyframe_count(task: StageTask) -> int | None:
    """How many stills the task must deliver beside its latents; None where it makes none."""
    match task.params:
        case PassParams(slots=slots, keyframes=keyframes):
            # A first pass has those that it makes, a second one those that are held, too.
            return len(keyframes or slots) or None
        case CanvasParams(parts=parts, starts_at_seam=at_seam):
            # There are two rounds at most, and the second carries the stills of the first.
            number = 2 if any(need.role == "carried" for need in task.needs) else 1
            clip = (sum(parts) - 1 >> number - 1) + 1
            return len(canvas_seams(clip, number)) + int(at_seam)
        case TileParams(tile=tile):
            return len(tile.slots) - tile.first_slot or None
    return None


def _verify_numbers(result: Payload) -> None:
    for name, array in result.arrays.items():
        if name in result.bf16_names:
            # Exponent bits all set: infinity or not a number.
            bad = bool(((array & 0x7F80) == 0x7F80).any())
        else:
            bad = array.dtype.kind == "f" and not np.isfinite(array).all()
        if bad:
            raise bad_output(f"{name} holds numbers that are not finite", result)


def _verify_shape(task: StageTask, result: Payload) -> None:
    wanted = latent_shape(task)
    if wanted is not None:
        found = result["latents"].shape if "latents" in result else ()
        if len(found) != 5 or found[0] != 1 or found[2:] != wanted:
            raise bad_output(f"latents have the shape {found}, due were {(1, 'C', *wanted)}", result)
        _verify_keyframes(task, result, found)
    if isinstance(task.params, DecodeParams):
        keep = task.params.window.keep
        due = (len(keep), task.params.height, task.params.width, 3)
        found = result["frames"].shape
        if found != due:
            raise bad_output(f"frames have the shape {found}, due were {due}", result)


def _verify_keyframes(task: StageTask, result: Payload, latents: tuple[int, ...]) -> None:
    """Stills beside `latents` of that shape, of the same channels and size."""
    count = keyframe_count(task)
    if count is None:
        return
    found = result[KEYFRAMES].shape if KEYFRAMES in result else ()
    due = (*latents[:2], count, *latents[3:])
    if found != due:
        raise bad_output(f"{KEYFRAMES} have the shape {found}, due were {due}", result)


def _verify_pictures(task: StageTask, result: Payload, rules: Verify) -> tuple[str, ...]:
    if not isinstance(task.params, DecodeParams) or not len(result["frames"]):
        return ()
    checks: tuple[tuple[str, str, Callable[[np.ndarray], bool]], ...] = (
        ("black", rules.black, is_black),
        ("frozen", rules.frozen, is_frozen),
    )
    warnings = []
    for name, verdict, check in checks:
        if verdict == "off" or not check(result["frames"]):
            continue
        if verdict == "error":
            cure = f"where that is meant, set `run.verify.{name}: off`"
            raise bad_output(f"all frames are {name} ({cure})", result)
        log.warning("%s: all frames are %s", task.id, name)
        warnings.append(f"all frames are {name}")
    return tuple(warnings)


def is_black(frames: np.ndarray) -> bool:
    """True where every frame, uint8 `[F, H, W, 3]`, is black. Stops at the first bright one."""
    return all(int(frame.max()) <= BLACK_LEVEL for frame in frames)


def is_frozen(frames: np.ndarray) -> bool:
    """True where all frames, uint8 `[F, H, W, 3]`, are the same. One frame alone moves as it should."""
    return len(frames) > 1 and all(np.array_equal(frame, frames[0]) for frame in frames[1:])
