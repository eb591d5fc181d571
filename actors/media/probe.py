"""What a media file holds, without ffprobe: packets are counted, and decoded only where rates are uneven."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from actors.media.codecs import rate_text
from actors.media.process import Call, compile_command, exchange, read_lines
from jobs.errors import InvalidInput
from jobs.facts import VideoFact
from jobs.frames import exact_rate

HD_LINES = 720
DISCARDED = 0x4
TICKS_OF_ROUNDING = 1.01
NO_TIME = -(1 << 63)
"""What ffmpeg gives as the time of a packet that has none."""
DECODED_TICK_S = Fraction(1, 1_200_000)
"""Fine enough that frames of every usual rate, NTSC ones too, last a whole number of ticks."""
UNDECLARED_RATE = exact_rate(25.0)


@dataclass(frozen=True, slots=True)
class AudioFact:
    """The first sound track of a file."""

    sample_rate: int
    layout: str


@dataclass(frozen=True, slots=True)
class VideoStream:
    """The first video track of a file. `matrix` names the YUV matrix; a file that says none is taken as
    BT.709 from 720 lines on, else as BT.601. `is_constant` says that frames are equally far apart."""

    frames: int
    width: int
    height: int
    rate: Fraction
    is_constant: bool
    pixel_aspect: Fraction
    matrix: str


def probe_video(path: str | Path) -> VideoFact:
    """Frames, size and rate of a video. Raises as `read_stream`."""
    stream = read_stream(Path(path))
    return VideoFact(stream.frames, stream.width, stream.height, float(stream.rate))


def probe_audio(path: str | Path) -> AudioFact:
    """Rate and layout of the first sound track. Raises InvalidInput when there is none, StorageProblem when
    the storage refuses the file."""
    call = Call("read the sound", reads=Path(path))
    listing, _ = _packets(call, "a:0", {"frames:a": 1})
    header = dict(re.findall(r"^#(\w+) 0: (.+)$", listing, flags=re.MULTILINE))
    if "sample_rate" not in header:
        raise InvalidInput(f"{path} holds no sound; name a file that does")
    return AudioFact(int(header["sample_rate"]), header.get("channel_layout_name", "unknown"))


def read_stream(path: Path) -> VideoStream:
    """Everything about the first video track. Raises InvalidInput when ffmpeg cannot read it, StorageProblem
    when the storage refuses it."""
    call = Call("read the video", reads=path)
    listing, messages = _packets(call, "v:0", {})
    header = dict(re.findall(r"^#(\w+) 0: (.+)$", listing, flags=re.MULTILINE))
    times, tick_s = _display_times(listing), Fraction(header.get("tb", 0))
    if not times or "dimensions" not in header:
        raise InvalidInput(f"{path} holds no video frames; name a file that does")
    if NO_TIME in times:
        times, tick_s = _decoded_times(path), DECODED_TICK_S
    width, height = map(int, header["dimensions"].split("x"))
    rate, is_constant = _rate(times, tick_s, _declared_rate(messages))
    return VideoStream(
        frames=len(times) if is_constant else _count_at(path, rate),
        width=width,
        height=height,
        rate=rate,
        is_constant=is_constant,
        pixel_aspect=_pixel_aspect(header.get("sar", "1/1")),
        matrix=_matrix(messages, height),
    )


def packet_times(path: Path, call: Call) -> Iterator[Fraction]:
    """Presentation time in seconds of each video packet, as stored; the farm's codecs have one a frame."""
    tick_s = Fraction(0)
    for line in read_lines(_listing_command(path, "v:0", {}, "error"), call):
        if line.startswith("#tb 0:"):
            tick_s = Fraction(line.split()[2])
        elif line.startswith("0,"):
            yield int(line.split(",")[2]) * tick_s


def _packets(call: Call, track: str, options: dict[str, int]) -> tuple[str, str]:
    """Packet list of one track, and what ffmpeg says about the file."""
    assert call.reads is not None
    listing, messages = exchange(_listing_command(call.reads, track, options, "info"), call)
    return listing.decode(), messages


def _listing_command(path: Path, track: str, options: dict[str, int], log_level: str) -> list[str]:
    import ffmpeg

    source = ffmpeg.input(str(path))
    output = ffmpeg.output(source[track], "pipe:", c="copy", f="framecrc", **options)
    return compile_command(output, log_level)


def _display_times(listing: str) -> list[int]:
    """Sorted presentation times of the packets that are shown, in ticks; `NO_TIME` where there is none."""
    times = []
    for line in listing.splitlines():
        if line.startswith("0,"):
            fields = [field.strip() for field in line.split(",")]
            flags = next((int(field[2:], 16) for field in fields[6:] if field.startswith("F=")), 0)
            if not flags & DISCARDED:
                times.append(int(fields[2]))
    return sorted(times)


def _decoded_times(path: Path) -> list[int]:
    """Sorted presentation times of the decoded frames, in `DECODED_TICK_S`.

    AVI, MPEG program streams and raw streams store no time for some packets; what is decoded has one.
    """
    import ffmpeg

    source = ffmpeg.input(str(path))["v:0"]
    tick = rate_text(DECODED_TICK_S).replace("/", ":")
    output = ffmpeg.output(source, "pipe:", f="framecrc", fps_mode="passthrough", enc_time_base=tick)
    listing, _ = exchange(compile_command(output), Call("count the frames", reads=path))
    return _display_times(listing.decode())


def _rate(times: list[int], tick_s: Fraction, declared: Fraction | None) -> tuple[Fraction, bool]:
    """Frames per second, and whether they are constant.

    Containers that round times to their tick are constant when no time is further than that from its place.
    Where times are missing, or all are equal, nothing can be measured.
    """
    if len(times) < 2:
        return declared or UNDECLARED_RATE, True
    if NO_TIME in times or times[0] == times[-1]:
        return declared or UNDECLARED_RATE, False
    step = Fraction(times[-1] - times[0], len(times) - 1)
    measured = exact_rate(float(1 / (step * tick_s)))
    if step == times[1] - times[0] and _is_even(times, step):
        return measured, True
    rate = declared or measured
    return rate, _is_even(times, 1 / (rate * tick_s))


def _is_even(times: list[int], step: Fraction) -> bool:
    return all(abs(time - times[0] - float(step * n)) <= TICKS_OF_ROUNDING for n, time in enumerate(times))


def _declared_rate(messages: str) -> Fraction | None:
    found = re.search(r"Video: .*?, ([\d.]+)(k?) fps", messages)
    if not found:
        return None
    return exact_rate(float(found.group(1)) * (1000 if found.group(2) else 1))


def _matrix(messages: str, height: int) -> str:
    video = re.search(r"Video: (.*)", messages)
    named = re.search(r"\b(bt709|bt2020|smpte240m|smpte170m|bt470bg)", video.group(1) if video else "")
    if named:
        return named.group(1).replace("bt470bg", "smpte170m")
    return "bt709" if height >= HD_LINES else "smpte170m"


def _pixel_aspect(text: str) -> Fraction:
    width, height = (int(part) for part in text.split("/"))
    return Fraction(width, height) if width and height else Fraction(1)


def _count_at(path: Path, rate: Fraction) -> int:
    """Frames of a video of uneven rate once it is brought to a constant one."""
    import ffmpeg

    call = Call("count the frames", reads=path)
    source = ffmpeg.input(str(path))["v:0"].filter("fps", rate_text(rate))
    output = ffmpeg.output(source, "pipe:", f="null", progress="pipe:1")
    report, _ = exchange(compile_command(output), call)
    counts = re.findall(rb"^frame=\s*(\d+)", report, flags=re.MULTILINE)
    return int(counts[-1]) if counts else 0
