"""Sound: samples of a file as arrays, and the one track of a film, cut to the sample.

A film's track is encoded once, never per segment: every AAC stream starts with priming samples, so joined
streams would drift by about 20 ms at each seam. The muxer notes the priming in the edit list.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.media.codecs import Options
from actors.media.probe import probe_audio
from actors.media.process import Call, compile_command, exchange

AAC_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200, 96000)
AAC_BITS_PER_CHANNEL = 96_000
FLAC_BITS = 24
CHANNELS = 2
SAME_ON_EVERY_CPU = ("-cpuflags", "0")
"""ffmpeg's resampler and AAC encoder round by instruction set; plain code costs the same."""


@dataclass(frozen=True, slots=True)
class Listen:
    """Samples `[start, stop)` of a file brought to `sample_rate` and `channels`."""

    start: int
    stop: int
    sample_rate: int
    channels: int = CHANNELS


def read_audio(path: str | Path, listen: Listen) -> np.ndarray:
    """Sound of a file, float32 `[channels, stop - start]`, silence past its end.

    Raises InvalidInput when ffmpeg finds no sound in it, StorageProblem when the storage refuses it.
    """
    import ffmpeg

    wanted = listen.stop - listen.start
    sound = ffmpeg.input(str(path))["a:0"].filter("aresample", listen.sample_rate)
    sound = sound.filter("atrim", start_sample=listen.start, end_sample=listen.stop)
    raw = {"f": "f32le", "c:a": "pcm_f32le", "ac": listen.channels, "ar": listen.sample_rate}
    command = compile_command(ffmpeg.output(sound, "pipe:", **raw).global_args(*SAME_ON_EVERY_CPU))
    data, _ = exchange(command, Call("read the sound", reads=Path(path)))
    heard = np.frombuffer(data, "<f4").reshape(-1, listen.channels)[:wanted]
    samples = np.zeros((listen.channels, wanted), np.float32)
    samples[:, : len(heard)] = heard.T
    return samples


def track_rate(codec: str, sample_rate: int) -> int:
    """Sample rate of the film's track: AAC has a fixed list, of which the next higher one is taken."""
    if codec != "aac":
        return sample_rate
    return next((rate for rate in AAC_RATES if rate >= sample_rate), AAC_RATES[-1])


def cut_track(sound: Any, sample_rate: int, samples: int) -> Any:
    """ffmpeg-python stream of `sound` at `sample_rate`, exactly `samples` long, padded with silence.

    Time stamps are counted anew from the samples, so rounded ones of the source cannot shift anything.
    """
    sound = sound.filter("aresample", sample_rate).filter("asetpts", "N/SR/TB")
    return sound.filter("apad", whole_len=samples).filter("atrim", end_sample=samples)


def track_options(codec: str, channels: int) -> Options:
    """Output options of ffmpeg for the film's track, `aac` or `flac`."""
    if codec == "aac":
        return {"c:a": "aac", "b:a": AAC_BITS_PER_CHANNEL * channels, "flags:a": "+bitexact"}
    return {"c:a": "flac", "sample_fmt": "s32", "bits_per_raw_sample": FLAC_BITS, "flags:a": "+bitexact"}


def channels_of(path: str | Path) -> int:
    """Channels of a file's sound: 1 of mono, 2 of stereo, 6 of 5.1."""
    layout = probe_audio(path).layout
    named = {"mono": 1, "stereo": 2, "quad": 4}.get(layout)
    return named or sum(map(int, re.findall(r"\d+", layout.split("(")[0]))) or 2
