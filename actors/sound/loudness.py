"""Loudness by EBU R 128: measured, and brought to a target, by ffmpeg's `ebur128` and `alimiter`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from actors.media.audio import SAME_ON_EVERY_CPU
from actors.media.process import Call, compile_command, listen
from actors.sound.gains import amplitude
from jobs.errors import StageBug

if TYPE_CHECKING:
    import numpy as np

SILENCE_LUFS = -70.0
"""What R 128's gate leaves out; `ebur128` gives it for silence, and for less than 0.4 s."""
PEAK_RATE = 192_000
"""Samples per second among which the limiter finds peaks between those of the film."""
LEVELING = ("ebur128", "alimiter")
"""Filters of ffmpeg that a loudness takes."""
LUFS = re.compile(r"I:\s+(\S+) LUFS")
DBFS = re.compile(r"Peak:\s+(\S+) dBFS")
CLOSE_LU = 0.1
MOST_PASSES = 5
ATTACK_MS, RELEASE_MS = 5, 100


@dataclass(frozen=True, slots=True)
class Loudness:
    """Integrated loudness, LUFS, and true peak, dBTP (-inf of silence)."""

    integrated: float
    true_peak: float


@dataclass(frozen=True, slots=True)
class Leveling:
    """What brings a mix to its target: `gain_db`, and a limiter at `limit_db` dBTP where peaks would pass it.
    `found` is the mix without, `reached` with them."""

    gain_db: float
    limit_db: float | None
    found: Loudness
    reached: Loudness


def limited(sound: Any, limit_db: float | None, rate: int) -> Any:
    """ffmpeg-python stream of `sound` at `rate`, whose true peaks do not pass `limit_db` (None: as it is).
    Nothing is moved; at its end a sample may be more or less."""
    if limit_db is None:
        return sound
    limiter = {"limit": f"{float(amplitude(limit_db)):.9f}", "attack": ATTACK_MS, "release": RELEASE_MS}
    sound = sound.filter("aresample", PEAK_RATE).filter("alimiter", level=0, latency=1, **limiter)
    return sound.filter("aresample", rate).filter("asetpts", "N/SR/TB")


def measured(blocks: Iterable[np.ndarray], rate: int, layout: str, limit_db: float | None = None) -> Loudness:
    """The loudness of float32 `[n, channels]` blocks, once their peaks are limited. Raises as `listen`."""
    import ffmpeg

    raw = {"format": "f32le", "sample_rate": rate, "ch_layout": layout}
    sound = limited(ffmpeg.input("pipe:", **raw)["a:0"], limit_db, rate)
    sound = sound.filter("ebur128", peak="true", framelog="quiet")
    output = ffmpeg.output(sound, "pipe:", f="null").global_args(*SAME_ON_EVERY_CPU)
    call = Call("measure the loudness of the mix")
    said = listen(compile_command(output, "info"), call, (block.astype("<f4").tobytes() for block in blocks))
    return Loudness(_last(LUFS, said), _last(DBFS, said))


def _last(pattern: re.Pattern[str], said: str) -> float:
    """The last number of the summary."""
    found = pattern.findall(said)
    if not found:
        raise StageBug("ffmpeg's ebur128 measured no loudness; report this")
    return float(found[-1])


def leveled(measure: Callable[[float, float | None], Loudness], target: float, ceiling: float) -> Leveling:
    """What brings a mix to `target` LUFS and keeps it under `ceiling` dBTP; `measure(gain_db, limit_db)`.

    A gain alone where the peaks have room. Else they are limited, and what that takes from the loudness is
    added to the gain until it is there, a few times at the most.
    """
    found = measure(0.0, None)
    if found.integrated <= SILENCE_LUFS:
        return Leveling(0.0, None, found, found)
    gain_db = target - found.integrated
    if found.true_peak + gain_db <= ceiling:
        return Leveling(gain_db, None, found, Loudness(target, found.true_peak + gain_db))
    tried: list[Leveling] = []
    for _ in range(MOST_PASSES):
        reached = measure(gain_db, ceiling)
        tried.append(Leveling(gain_db, ceiling, found, reached))
        if abs(target - reached.integrated) <= CLOSE_LU:
            break
        gain_db += target - reached.integrated
    return min(tried, key=lambda each: abs(target - each.reached.integrated))
