"""What a media file holds, without ffprobe: packets are counted, and decoded only where rates are uneven."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from actors.media.codecs import rate_text
from actors.media.colors import HDR_CURVES, require_tone_mapping
from actors.media.ffmpeg import find_ffmpeg
from actors.media.listing import header_of, list_packets, require_whole, shown_packets
from actors.media.opening import MAX_VIDEO_PIXELS, media_input, require_size
from actors.media.process import Call, compile_command, exchange
from actors.media.riff import stated_seconds
from jobs.errors import InvalidInput
from jobs.frames import exact_rate, frames_within
from jobs.planning.facts import VideoFact

HD_LINES = 720
MAX_FRAMES = 200_000
"""Of a source: more than two hours at 24 frames per second."""
TICKS_OF_ROUNDING = 1.01
NO_TIME = -(1 << 63)
"""What ffmpeg gives as the time of a packet that has none."""
DECODED_TICK_S = Fraction(1, 1_200_000)
"""Fine enough that frames of every usual rate, NTSC ones too, last a whole number of ticks."""
COARSEST_TICK_S = Fraction(1, 500)
"""Times are rounded to ticks up to this; a file with longer ones counts in frames."""
UNDECLARED_RATE = exact_rate(25.0)
WEBM_ALPHA = re.compile(r"^\s*alpha_mode\s*: 1$", re.MULTILINE)
INDEXED = re.compile(r"^Input #0, (?:mov,|matroska,)", re.MULTILINE)
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
ALPHA = re.compile(r"[ ,](?:yuva|gbrap|rgba|bgra|argb|abgr|ya|pal8)\w*[(,]")
"""Pixel formats with an alpha channel, or a palette that may have transparent entries."""


@dataclass(frozen=True, slots=True)
class AudioFact:
    """The first sound track of a file. `promised_s` is the running time that the header of a file with
    nothing but this track states; None where it states none."""

    sample_rate: int
    layout: str
    promised_s: float | None = None


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The first video track of a file.

    `is_constant` says that frames are equally far apart; where they are not, `rate` is the declared or mean
    rate. `seconds` is the running time from the first frame to the end of the last, `tick_s` what their times
    were rounded to, `start_s` where the first frame stands on the file's clock. `matrix` names the YUV
    matrix; a file that says none is taken as BT.709 from 720 lines on, else as BT.601. `hdr` names the curve
    of an HDR picture, `decoder` the one to take where ffmpeg's own would leave transparency out,
    `indexed_codec` the codec (ffmpeg's name) in a container that knows its key frames; empty in others.
    """

    frames: int
    width: int
    height: int
    rate: Fraction
    is_constant: bool
    seconds: Fraction
    tick_s: Fraction
    start_s: Fraction
    pixel_aspect: Fraction
    matrix: str
    hdr: str = ""
    transparent: bool = False
    decoder: str = ""
    indexed_codec: str = ""


@dataclass(frozen=True, slots=True)
class _Times:
    """Sorted presentation times of shown frames in ticks of `tick_s`, and how long the last one stands. The
    file rounded them to `rounded_s`."""

    ticks: list[int]
    tick_s: Fraction
    last: int
    rounded_s: Fraction

    @property
    def span_s(self) -> Fraction:
        """From the first frame to the last one's beginning."""
        return (self.ticks[-1] - self.ticks[0]) * self.tick_s


def probe_video(path: str | Path) -> VideoFact:
    """Frames, size, rate and sound of a video. Raises as `read_stream`."""
    stream = read_stream(Path(path))
    sound_s = sound_start_s(Path(path))
    return VideoFact(
        frames=stream.frames,
        width=stream.width,
        height=stream.height,
        frame_rate=float(stream.rate),
        seconds=None if stream.is_constant else stream.seconds,
        sound_start_s=None if sound_s is None else float(sound_s - stream.start_s),
        hdr=HDR_CURVES.get(stream.hdr, ""),
        transparent=stream.transparent,
    )


def probe_audio(path: str | Path) -> AudioFact:
    """Rate and layout of the first sound track. Raises InvalidInput when there is none, StorageProblem when
    the storage refuses the file."""
    call = Call("read the sound", reads=Path(path))
    listing, messages = list_packets(call, "a:0", {"frames:a": 1})
    header = header_of(listing)
    if "sample_rate" not in header:
        raise InvalidInput(f"{path} holds no sound; name a file that does")
    layout = header.get("channel_layout_name", "unknown")
    promised_s = stated_seconds(Path(path)) or _promised_s(messages)
    return AudioFact(int(header["sample_rate"]), layout, promised_s)


def has_sound(path: str | Path) -> bool:
    """Whether a file has a sound track that can be read."""
    try:
        probe_audio(path)
    except InvalidInput:
        return False
    return True


def sound_start_s(path: Path) -> Fraction | None:
    """Time of the first decoded sample on the file's clock; None without sound that can be decoded."""
    import ffmpeg

    raw = {"f": "framecrc", "c:a": "pcm_f32le", "frames:a": 1}
    command = compile_command(ffmpeg.output(media_input(path)["a:0"], "pipe:", **raw))
    try:
        listing = exchange(command, Call("read the sound", reads=path))[0].decode()
    except InvalidInput:
        return None
    times = shown_packets(listing)
    return times[0][0] * Fraction(header_of(listing)["tb"]) if times else None


def read_stream(path: Path) -> VideoStream:
    """Everything about the first video track.

    Raises InvalidInput when ffmpeg cannot read it, when the file was cut short, is too large or needs a
    filter that this ffmpeg lacks; StorageProblem when the storage refuses it.
    """
    call = Call("read the video", reads=path)
    listing, messages = list_packets(call, "v:0", {"frames:v": MAX_FRAMES + 1})
    header, shown = header_of(listing), shown_packets(listing)
    width, height = _bounded_size(path, header, len(shown))
    require_whole(path, messages)
    declared, about = _declared_rate(messages), _about(messages)
    times = _times(shown, Fraction(header.get("tb", 0)))
    if NO_TIME in times.ticks:
        times = _decoded_times(path, times.rounded_s)
    rate, is_constant = _rate(times, declared)
    seconds = len(times.ticks) / rate if is_constant else times.span_s + _last_s(times, rate)
    decoder = _alpha_decoder(path, about, messages)
    curve = next((name for name in HDR_CURVES if name in about), "")
    if curve:
        require_tone_mapping(path)
    return VideoStream(
        frames=len(times.ticks) if is_constant else frames_within(seconds, float(rate)),
        width=width,
        height=height,
        rate=rate,
        is_constant=is_constant,
        seconds=seconds,
        tick_s=times.rounded_s,
        start_s=times.ticks[0] * times.tick_s,
        pixel_aspect=_pixel_aspect(header.get("sar", "1/1")),
        matrix=_matrix(about, height),
        hdr=curve,
        transparent=bool(ALPHA.search(about) or decoder),
        decoder=decoder,
        indexed_codec=header.get("codec_id", "") if INDEXED.search(messages) else "",
    )


def _bounded_size(path: Path, header: Mapping[str, str], frames: int) -> tuple[int, int]:
    """Width and height. Raises InvalidInput where there are none, or more of them or of frames than the farm
    takes."""
    if not frames or "dimensions" not in header:
        raise InvalidInput(f"{path} holds no video frames; name a file that does")
    width, height = map(int, header["dimensions"].split("x"))
    require_size(path, width, height, MAX_VIDEO_PIXELS)
    if frames > MAX_FRAMES:
        raise InvalidInput(
            f"{path} has more than {MAX_FRAMES} frames; cut out the part that opens the film first"
        )
    return width, height


def require_whole_sound(path: Path) -> None:
    """Raise InvalidInput for a container that was cut short; reads all of its sound's packets."""
    require_whole(path, list_packets(Call("read the sound", reads=path), "a:0", {})[1])


def _times(shown: list[tuple[int, int]], tick_s: Fraction) -> _Times:
    return _Times([time for time, _ in shown], tick_s, shown[-1][1], min(tick_s, COARSEST_TICK_S))


def _decoded_times(path: Path, rounded_s: Fraction) -> _Times:
    """The decoded frames, in `DECODED_TICK_S`.

    AVI, MPEG program streams and raw streams store no time for some packets; what is decoded has one.
    """
    import ffmpeg

    tick = rate_text(DECODED_TICK_S).replace("/", ":")
    output = ffmpeg.output(
        media_input(path)["v:0"], "pipe:", f="framecrc", fps_mode="passthrough", enc_time_base=tick
    )
    listing, _ = exchange(compile_command(output), Call("count the frames", reads=path))
    shown = shown_packets(listing.decode())
    if not shown:
        raise InvalidInput(f"{path} holds no frames that can be decoded; convert it first")
    return replace(_times(shown, DECODED_TICK_S), rounded_s=rounded_s)


def _last_s(times: _Times, rate: Fraction) -> Fraction:
    """How long the last frame stands: as long as the file says, else as long as the others."""
    return times.last * times.tick_s if times.last > 1 else 1 / rate


def _rate(times: _Times, declared: Fraction | None) -> tuple[Fraction, bool]:
    """Frames per second, and whether they are constant.

    Containers that round times to their tick are constant when no time is further than that from its place.
    Where times are missing, or all are equal, nothing can be measured.
    """
    ticks = times.ticks
    if len(ticks) < 2:
        return declared or UNDECLARED_RATE, True
    if NO_TIME in ticks or ticks[0] == ticks[-1]:
        return declared or UNDECLARED_RATE, False
    step = Fraction(ticks[-1] - ticks[0], len(ticks) - 1)
    measured = exact_rate(float(1 / (step * times.tick_s)))
    if step == ticks[1] - ticks[0] and _is_even(times, step):
        return measured, True
    rate = declared or measured
    return rate, _is_even(times, 1 / (rate * times.tick_s))


def _is_even(times: _Times, step: Fraction) -> bool:
    most = TICKS_OF_ROUNDING * max(1.0, float(times.rounded_s / times.tick_s))
    return all(abs(time - times.ticks[0] - float(step * n)) <= most for n, time in enumerate(times.ticks))


def _about(messages: str) -> str:
    """ffmpeg's line about the first video track of the input: codec, pixel format, colours, rate."""
    found = re.search(r"Video: (.*)", messages)
    return found.group(1) if found else ""


def _alpha_decoder(path: Path, about: str, messages: str) -> str:
    """The decoder that reads the transparency of a WebM, stored beside the picture; empty without one.
    Raises InvalidInput where this ffmpeg lacks it."""
    if not WEBM_ALPHA.search(messages):
        return ""
    name = ALPHA_DECODERS.get(about[:3], "")
    if name and name not in find_ffmpeg().decoders:
        raise InvalidInput(
            f"{path} is transparent, and this ffmpeg has no {name} to read that; convert it first"
        )
    return name


def _promised_s(messages: str) -> float | None:
    """Running time that the header states of a file with one track; None where ffmpeg only estimates it."""
    opened = messages.partition("Stream mapping:")[0]
    stated = re.search(r"Duration: (\d+):(\d\d):(\d\d\.\d+)", opened)
    if stated is None or opened.count("Stream #") != 1 or "Estimating duration" in opened:
        return None
    hours, minutes, seconds = stated.groups()
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _declared_rate(messages: str) -> Fraction | None:
    found = re.search(r"Video: .*?, ([\d.]+)(k?) fps", messages)
    if not found:
        return None
    return exact_rate(float(found.group(1)) * (1000 if found.group(2) else 1))


def _matrix(about: str, height: int) -> str:
    named = re.search(r"\b(bt709|bt2020|smpte240m|smpte170m|bt470bg)", about)
    if named:
        return named.group(1).replace("bt470bg", "smpte170m")
    return "bt709" if height >= HD_LINES else "smpte170m"


def _pixel_aspect(text: str) -> Fraction:
    width, height = (int(part) for part in text.split("/"))
    return Fraction(width, height) if width and height else Fraction(1)
