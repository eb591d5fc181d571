"""How loud a track is at each sample: gain, pan, fades, ducking. numpy alone, float64."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from jobs.sound.planned import samples_of

if TYPE_CHECKING:
    from jobs.frames import Span
    from jobs.sound.planned import FadeCurve, PlannedDucking, PlannedTrack

HOPS_PER_SECOND = 100


def amplitude(decibels: float | np.ndarray) -> np.ndarray:
    """10^(dB / 20), float64."""
    return np.asarray(10.0 ** (np.asarray(decibels, np.float64) / 20.0))


def pan_matrix(pan: float, channels: int) -> np.ndarray:
    """float64 `[2, channels]` from the 1 or 2 channels of a track to left and right.

    The `equalpower` algorithm of the Web Audio API's StereoPannerNode: a mono track has cos and sin of a
    quarter of a turn, so its power is the same everywhere, and each side has 3 dB less in the middle; of a
    stereo track one side is turned towards the other, and it stays as it is in the middle.
    """
    if channels == 1:
        angle = (pan + 1.0) * np.pi / 4
        return np.array([[np.cos(angle)], [np.sin(angle)]])
    angle = (pan + 1.0 if pan <= 0 else pan) * np.pi / 2
    if pan <= 0:
        return np.array([[1.0, np.cos(angle)], [0.0, np.sin(angle)]])
    return np.array([[np.cos(angle), 0.0], [np.sin(angle), 1.0]])


def fade_gain(track: PlannedTrack, sample_rate: int, heard: Span, block: Span) -> np.ndarray:
    """float64 `[len(block)]`: the fades of a track that is heard in the samples `heard`, 0 outside of them.

    A fade of n samples has the amplitudes 0/n, 1/n, ... (n - 1)/n, that at the end the same backwards; with
    `equal-power` the sine of a quarter of a turn times that.
    """
    at = np.arange(block.start, block.stop, dtype=np.float64)
    gain = np.where((at >= heard.start) & (at < heard.stop), 1.0, 0.0)
    for seconds, distance in (
        (track.fade_in_s, at - heard.start),
        (track.fade_out_s, heard.stop - 1 - at),
    ):
        if (length := samples_of(seconds, sample_rate)) > 0:
            gain *= _curve(np.clip(distance / length, 0.0, 1.0), track.fade_curve)
    return gain


def _curve(share: np.ndarray, curve: FadeCurve) -> np.ndarray:
    return share if curve == "linear" else np.sin(share * np.pi / 2)


def hop_samples(sample_rate: int) -> int:
    """Samples of the 10 ms over which levels are measured, rounded down."""
    return sample_rate // HOPS_PER_SECOND


def hop_levels(samples: np.ndarray, hop: int) -> np.ndarray:
    """dBFS `[hops]` of `[n, channels]`: the root of the mean square of all samples of each hop, of which the
    last may be shorter. Silence is -inf."""
    starts = np.arange(0, len(samples), hop)
    squares = np.add.reduceat(np.square(samples, dtype=np.float64).sum(axis=1), starts)
    counts = np.minimum(hop, len(samples) - starts) * samples.shape[1]
    with np.errstate(divide="ignore"):
        return np.asarray(10.0 * np.log10(squares / counts))


def duck_depths(levels: np.ndarray, duck: PlannedDucking) -> np.ndarray:
    """How far a track is down at the beginning of each hop, from 0 to 1; float64 `[hops + 1]`.

    The others count as heard in each hop of at least the threshold, and for `hold_s` after it. The depth
    rises evenly over `attack_s`, so that it is 1 where they begin, and falls evenly over `release_s`.
    """
    heard = np.append(levels >= duck.threshold_db, False)
    attack, hold, release = (
        max(least, round(seconds * HOPS_PER_SECOND))
        for seconds, least in ((duck.attack_s, 1), (duck.hold_s, 0), (duck.release_s, 1))
    )
    heard = _spread(_spread(heard, hold + 1)[::-1], attack - 1)[::-1]
    rise, fall = 1.0 / attack, 1.0 / release
    steps = accumulate(
        heard.tolist(),
        lambda depth, down: min(1.0, depth + rise) if down else max(0.0, depth - fall),
        initial=float(heard[0]),
    )
    return np.fromiter(steps, np.float64, len(heard) + 1)[1:]


def _spread(heard: np.ndarray, hops: int) -> np.ndarray:
    """True for `hops` hops longer than it was."""
    summed = np.concatenate([np.zeros(1, np.int64), np.cumsum(heard)])
    before = np.maximum(np.arange(len(heard)) - hops, 0)
    return np.asarray(summed[1:] > summed[before])


def duck_gain(depths: np.ndarray, by_db: float, hop: int, block: Span) -> np.ndarray:
    """float64 `[len(block)]`: the amplitude that depths at the beginnings of hops, joined by lines, leave."""
    first = block.start // hop
    near = depths[first : -(-block.stop // hop) + 1]
    at = np.arange(block.start, block.stop, dtype=np.float64)
    depth = np.interp(at, hop * np.arange(first, first + len(near), dtype=np.float64), near)
    return amplitude(-by_db * depth)
