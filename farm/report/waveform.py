"""The sound of a film as a picture: one SVG path around the loudest samples of each column."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from actors.media.audio import Listen, read_audio

if TYPE_CHECKING:
    from pathlib import Path

RATE, COLUMNS, HEIGHT = 4000, 800, 100
COLOR = "#6b8fb8"
"""Seen on light and on dark."""


def waveform(film: Path, seconds: float) -> str:
    """An SVG file of `COLUMNS` x `HEIGHT` units for the film's first `seconds`, silence a line in the middle.

    Raises InvalidInput for a film without sound, StorageProblem.
    """
    # A mono sound as it is, and both sides of a stereo one: their sum is silent where they cancel out.
    stop = max(COLUMNS, round(seconds * RATE))
    samples = np.concatenate([read_audio(film, Listen(0, stop, RATE, channels)) for channels in (1, 2)])
    parts = np.array_split(np.clip(np.nan_to_num(samples), -1.0, 1.0), COLUMNS, axis=1)
    middle = HEIGHT / 2
    upper = [f"{x} {middle - middle * max(part.max(), 0.0):.1f}" for x, part in enumerate(parts)]
    lower = [f"{x} {middle - middle * min(part.min(), 0.0) + 0.5:.1f}" for x, part in enumerate(parts)]
    outline = " ".join([*upper, *reversed(lower)])
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS} {HEIGHT}" '
        f'preserveAspectRatio="none"><path fill="{COLOR}" d="M{outline}Z"/></svg>'
    )
