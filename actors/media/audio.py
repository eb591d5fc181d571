"""Sound: samples of a file as arrays, and the one track of a film, cut to the sample.

A film's track is encoded once, never per segment: every AAC stream starts with priming samples, so joined
streams would drift by about 20 ms at each seam. The muxer notes the priming in the edit list.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.media.opening import media_input
from actors.media.probe import AudioFact, probe_audio, require_whole_sound
from actors.media.process import Call, compile_command, exchange, read_blocks
from jobs.errors import InvalidInput
from jobs.formats import SOUNDS
from jobs.planning.facts import SoundFact

if TYPE_CHECKING:
    from actors.media.codecs import Options

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_BITS_PER_CHANNEL = 96_000
FLAC_BITS = 24
CHANNELS = 2
CHECKED_BYTES = 1 << 20
MOST_DECODED_S = 1800.0
"""Seconds of a sound file that are decoded while a spec is checked."""
SILENT_PEAK = 1e-4
"""-80 dB of full scale: dither, and what lossy codecs make of silence."""
HEADER_ROUNDING_S = 0.1
"""What encoders add to and take from a file's ends: a few frames of the codec."""
SAME_ON_EVERY_CPU = ("-cpuflags", "0")
"""ffmpeg's resampler and AAC encoder round by instruction set; plain code costs the same."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Samples `[start, stop)` of a file brought to `sample_rate` and `channels`. The file's first sample is
    number 0; before it, and after its last, there is silence."""

    start: int
    stop: int
    sample_rate: int
    channels: int = CHANNELS


def read_audio(path: str | Path, listen: Listen) -> np.ndarray:
    """Sound of a file, float32 `[channels, stop - start]`.

    Raises InvalidInput when ffmpeg finds no sound in it, StorageProblem when the storage refuses it.
    """
    import ffmpeg

    samples = np.zeros((listen.channels, listen.stop - listen.start), np.float32)
    first, silent = max(0, listen.start), max(0, -listen.start)
    if first >= listen.stop:
        return samples
    sound = media_input(path)["a:0"].filter("aresample", listen.sample_rate)
    sound = sound.filter("atrim", start_sample=first, end_sample=listen.stop)
    raw = {"f": "f32le", "c:a": "pcm_f32le", "ac": listen.channels, "ar": listen.sample_rate}
    command = compile_command(ffmpeg.output(sound, "pipe:", **raw).global_args(*SAME_ON_EVERY_CPU))
    data, _ = exchange(command, Call("read the sound", reads=Path(path)))
    heard = np.frombuffer(data, "<f4").reshape(-1, listen.channels)[: listen.stop - first]
    samples[:, silent : silent + len(heard)] = heard.T
    return samples


def resampled(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """Sound float32 `[channels, n]` at `rate` brought to the rate `wanted`."""
    import ffmpeg

    if rate == wanted:
        return samples
    channels = len(samples)
    sound = ffmpeg.input("pipe:", format="f32le", sample_rate=rate, ch_layout=f"{channels}c")["a:0"]
    raw = {"f": "f32le", "c:a": "pcm_f32le"}
    made = ffmpeg.output(sound.filter("aresample", wanted), "pipe:", **raw).global_args(*SAME_ON_EVERY_CPU)
    packed = np.ascontiguousarray(samples.T, dtype="<f4").tobytes()
    data, _ = exchange(compile_command(made), Call("resample a sound"), packed)
    return np.frombuffer(data, "<f4").reshape(-1, channels).T


def check_sound(path: str | Path, seconds: float) -> SoundFact:
    """Decode the first `seconds` of a file's sound, at most `MOST_DECODED_S` of them, and measure it.

    Raises InvalidInput for a file without sound, with a sample that is no finite number, or with less sound
    than its header says and the film needs; StorageProblem when the storage refuses it.
    """
    track, wanted_s = probe_audio(path), min(seconds, MOST_DECODED_S)
    if wanted_s < seconds:
        require_whole_sound(Path(path))
    heard, peak = 0, 0.0
    for block in _decoded(Path(path), wanted_s, ac=1) if wanted_s > 0 else ():
        samples = np.frombuffer(block, "<f4")
        if not np.isfinite(samples).all():
            at_s = (heard + int(np.argmin(np.isfinite(samples)))) / track.sample_rate
            raise InvalidInput(
                f"{path} holds a sample that is no finite number, {at_s:.3f} s after its start; "
                "export the sound again"
            )
        heard, peak = heard + len(samples), max(peak, _peak(samples))
    heard_s = heard / track.sample_rate
    silent = bool(heard) and wanted_s == seconds and peak < SILENT_PEAK and _is_silent(Path(path), wanted_s)
    if heard_s < wanted_s - 1 / track.sample_rate:
        _require_promised(path, track, heard_s)
        return SoundFact(heard_s, track.sample_rate, silent)
    return SoundFact(max(heard_s, track.promised_s or 0.0), track.sample_rate, silent)


def _is_silent(path: Path, seconds: float) -> bool:
    """Whether no channel is heard by itself: two that cancel each other are."""
    blocks = _decoded(path, seconds)
    return all(_peak(np.frombuffer(block, "<f4")) < SILENT_PEAK for block in blocks)


def _peak(samples: np.ndarray) -> float:
    return float(np.abs(samples).max(initial=0.0))


def _decoded(path: Path, seconds: float, **channels: int) -> Iterator[bytearray]:
    """The first `seconds` of a file's sound as float32, in blocks; with `ac=1` as one channel."""
    import ffmpeg

    sound = media_input(path)["a:0"].filter("atrim", end=f"{seconds:.6f}")
    raw = {"f": "f32le", "c:a": "pcm_f32le", **channels}
    command = compile_command(ffmpeg.output(sound, "pipe:", **raw))
    return read_blocks(command, Call("read the sound", reads=path), CHECKED_BYTES)


def _require_promised(path: str | Path, track: AudioFact, heard_s: float) -> None:
    """Raise InvalidInput for a file that holds less than its header says."""
    if track.promised_s is None:
        require_whole_sound(Path(path))
    if track.promised_s is not None and heard_s < track.promised_s - HEADER_ROUNDING_S:
        raise InvalidInput(
            f"{path} ends after {heard_s:.2f} s of sound where its header says {track.promised_s:.2f} s; "
            "copy it again, or save what is there as a new file"
        )


def track_rate(codec: str, sample_rate: int) -> int:
    """Sample rate of the film's track: AAC has a fixed list, of which the next higher one is taken."""
    if codec != "aac":
        return sample_rate
    return next((rate for rate in AAC_RATES if rate >= sample_rate), AAC_RATES[-1])


def trimmed(sound: Any, sample_rate: int, first: int, samples: int) -> Any:
    """ffmpeg-python stream of `sound` at `sample_rate` from its sample `first` on, at most `samples` long.

    Time stamps are counted anew from the samples, so rounded ones of the source cannot shift anything.
    """
    return _counted(sound, sample_rate).filter("atrim", start_sample=first, end_sample=first + samples)


def cut_track(sound: Any, sample_rate: int, samples: int, first: int = 0) -> Any:
    """As `trimmed`, but exactly `samples` long, with silence before sample 0 and behind the last."""
    sound = _counted(sound, sample_rate)
    if first > 0:
        sound = sound.filter("atrim", start_sample=first).filter("asetpts", "N/SR/TB")
    elif first < 0:
        sound = sound.filter("adelay", f"{-first}S", all=1)
    return sound.filter("apad", whole_len=samples).filter("atrim", end_sample=samples)


def _counted(sound: Any, sample_rate: int) -> Any:
    return sound.filter("aresample", sample_rate).filter("asetpts", "N/SR/TB")


def track_options(codec: str, channels: int) -> Options:
    """Output options of ffmpeg for the film's track, one of `SOUNDS`."""
    options: Options = {"c:a": SOUNDS[codec], "flags:a": "+bitexact"}
    if codec == "aac":
        options["b:a"] = AAC_BITS_PER_CHANNEL * channels
    elif codec == "flac":
        options |= {"sample_fmt": "s32", "bits_per_raw_sample": FLAC_BITS}
    return options


def channels_of(layout: str) -> int:
    """Channels of a layout as ffmpeg names it: 1 of `mono`, 6 of `5.1(side)`."""
    named = {"mono": 1, "stereo": 2, "quad": 4}.get(layout)
    return named or sum(map(int, re.findall(r"\d+", layout.split("(", maxsplit=1)[0]))) or 2
