"""Frames of another size than they were rendered in: scaled, then cropped or padded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from math import floor
from typing import TYPE_CHECKING

from jobs.wording import amount

if TYPE_CHECKING:
    from jobs.spec.output import FilmFormat


@dataclass(frozen=True, slots=True)
class Framing:
    """How rendered frames become those of a delivery, pixels: resampled to `scaled_width` x `scaled_height`
    by the filter `scaler` (empty where they have that size), then cropped or padded with black around the
    centre to `width` x `height`."""

    width: int
    height: int
    scaled_width: int
    scaled_height: int
    scaler: str

    def text(self, width: int, height: int) -> str:
        """What becomes of frames of `width` x `height`, `960x544 scaled to 1906x1080 by lanczos, padded by 14
        columns`."""
        return f"{width}x{height} {', '.join(self._steps())}"

    def _steps(self) -> Iterator[str]:
        if self.scaler:
            yield f"scaled to {self.scaled_width}x{self.scaled_height} by {self.scaler}"
        over = self.scaled_width - self.width, self.scaled_height - self.height
        for sign, done in ((1, "cropped"), (-1, "padded")):
            sides = zip(("column", "row"), over, strict=True)
            if parts := [amount(sign * side, what) for what, side in sides if sign * side > 0]:
                yield f"{done} by {' and '.join(parts)}"


def framing(form: FilmFormat, width: int, height: int) -> Framing | None:
    """How frames of `width` x `height` pixels become those of this format; None where they are already.

    Scaled sides are rounded half up: of a side that is cropped never below the wanted one, of one that is
    padded never above.
    """
    wanted = form.pixels or (width, height)
    if wanted == (width, height):
        return None
    choose = max if form.fit == "crop" else min
    scale = choose(Fraction(wanted[0], width), Fraction(wanted[1], height))
    across, down = (max(1, floor(side * scale + Fraction(1, 2))) for side in (width, height))
    scaler = "" if (across, down) == (width, height) else form.scaler
    return Framing(*wanted, across, down, scaler)
