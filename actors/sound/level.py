"""How loud a mix becomes: brought to its loudness, or kept from clipping; and what is said of that."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from actors.sound.loudness import SILENCE_LUFS, Leveling, leveled, measured

if TYPE_CHECKING:
    from actors.sound.loudness import Loudness
    from actors.sound.mix import Mix
    from jobs.sound.planned import PlannedSound

HEARD_DB = 0.05
CLOSE_ENOUGH_LU = 0.5


@dataclass(frozen=True, slots=True)
class SoundLevel:
    """`gain_db` of the whole mix, and dBTP at which a limiter holds it (None: without one). `said` is for the
    user."""

    gain_db: float = 0.0
    limit_db: float | None = None
    said: tuple[str, ...] = ()


def sound_level(mix: Mix, layout: str, sound: PlannedSound) -> SoundLevel:
    """What the mix needs. It is read once for its peak, or a few times for its loudness."""
    if sound.loudness is None:
        return _unclipped(mix, sound)

    def measure(gain_db: float, limit_db: float | None) -> Loudness:
        return measured(mix.blocks(gain_db), mix.rate, layout, limit_db)

    found = leveled(measure, sound.loudness, sound.true_peak)
    return SoundLevel(found.gain_db, found.limit_db, (_said_of(found, sound.loudness),))


def _unclipped(mix: Mix, sound: PlannedSound) -> SoundLevel:
    """One track as it is keeps its level, whatever it is."""
    over_db = 20 * math.log10(max(mix.peak(), 1.0))
    if over_db <= HEARD_DB and sound.is_plain:
        return SoundLevel()
    if sound.is_plain:
        said = (
            f"its sound passes full scale by {over_db:.1f} dB and clips there. `gain_db: {-over_db:.1f}` of "
            "the track, or `mix: {loudness: -16}`, keeps it from that"
        )
        return SoundLevel(said=(said,))
    if over_db == 0.0:
        return SoundLevel()
    said = (
        f"its mix would clip, and is {over_db:.1f} dB quieter for it. Lower `gain_db` of its tracks, or give "
        "it a `mix: {loudness: -16}`"
    )
    return SoundLevel(-over_db, None, (said,) if over_db > HEARD_DB else ())


def _said_of(leveling: Leveling, target: float) -> str:
    found, reached = leveling.found, leveling.reached
    if found.integrated <= SILENCE_LUFS:
        return f"its mix is silent, or shorter than 0.4 s: there is no loudness to bring to {target:g} LUFS"
    level = f"{reached.integrated:.1f} LUFS, true peak {reached.true_peak:.1f} dBTP"
    how = f"{leveling.gain_db:+.1f} dB"
    if leveling.limit_db is not None:
        how += f", peaks limited to {leveling.limit_db:g} dBTP"
    missed = abs(reached.integrated - target) > CLOSE_ENOUGH_LU
    more = f", not {target:g}: its peaks are too far above the rest. Lower `loudness`" if missed else ""
    return f"its sound is at {level} ({how}){more}"
