"""Planned sound of films whose pictures do not matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.sound.planned import PlannedSound, PlannedTrack

WHOLE_FILM = 1 << 30


def track(path: Path | None, name: str = "score", **fields: Any) -> PlannedTrack:
    """A track over the whole film: a file, or what the model made (None)."""
    whole = {"start_frame": 0, "stop_frame": WHOLE_FILM, **fields}
    return PlannedTrack(name, "mux" if path else "generate", str(path) if path else None, **whole)


def one_track(path: Path | None, sample_rate: int = 48_000) -> PlannedSound:
    """One track as it is."""
    return PlannedSound((track(path),), sample_rate)
