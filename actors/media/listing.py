"""What a file holds, packet by packet: the lists that ffmpeg's framecrc muxer writes, without decoding."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from actors.media.opening import media_input
from actors.media.process import Call, compile_command, exchange, read_lines
from actors.media.riff import ends_early
from jobs.errors import InvalidInput

DISCARDED = 0x4
CUT_SHORT = re.compile(r"File ended prematurely|: partial file")
"""What ffmpeg says of a container that ends before its index or its clusters do; it reads on all the same."""
SEEKING = {"noaccurate_seek": None}
"""Options of an input beside `ss`: all that is read from the packet on to which ffmpeg seeks is given out."""
ANYWHERE = frozenset({"prores", "dnxhd", "mjpeg", "png", "ffv1"})
"""Codecs, by ffmpeg's names, whose decoding begins wherever one seeks to: no frame needs another, or (FFV1)
the decoder waits for one that needs none."""
PICTURES = {"h264": (range(1, 6), range(5, 6)), "hevc": (range(32), range(16, 22))}
"""Types of the NAL units of a picture, and those of a picture after which none refers to one before it: IDR
(H.264, table 7-1); IDR, BLA and CRA (H.265, table 7-1), after which only leading pictures do, shown before
it. Containers mark recovery points as key frames as well, but what follows these may stay wrong for long."""
KEY_FRAME = {"show_existing_frame": 0, "frame_type": 0, "show_frame": 1}
"""How the header of a frame begins that empties all reference slots (VP9, 6.2; AV1, 5.9.2)."""


def list_packets(call: Call, track: str, options: dict[str, int]) -> tuple[str, str]:
    """Packet list of one track, and what ffmpeg says about the file."""
    assert call.reads is not None
    listing, messages = exchange(_listing_command(call.reads, track, options, "info"), call)
    return listing.decode(), messages


def packet_times(path: Path, call: Call) -> Iterator[Fraction]:
    """Presentation time in seconds of each video packet, as stored; the farm's codecs have one a frame."""
    tick_s = Fraction(0)
    for line in read_lines(_listing_command(path, "v:0", {}, "error"), call):
        if line.startswith("#tb 0:"):
            tick_s = Fraction(line.split()[2])
        elif line.startswith("0,"):
            yield int(line.split(",")[2]) * tick_s


def _listing_command(path: Path, track: str, options: dict[str, int], log_level: str) -> list[str]:
    import ffmpeg

    output = ffmpeg.output(media_input(path)[track], "pipe:", c="copy", f="framecrc", **options)
    return compile_command(output, log_level)


def begins_afresh(path: Path, codec: str, seek_s: int) -> bool:
    """Whether the packet to which ffmpeg seeks for `seek_s` is decoded, with all that are shown after it, as
    if everything before it had been read.

    Its own bits say so, not the container's list of key frames. False where the codec is another than H.264,
    HEVC, VP9, AV1 and those of `ANYWHERE`. Raises StorageProblem where the storage refuses the file.
    """
    if codec in ANYWHERE:
        return True
    if codec not in (*PICTURES, "vp9", "av1"):
        return False
    try:
        trace = exchange(_trace_command(path, seek_s), Call("read the video", reads=path))[1]
    except InvalidInput:
        return False
    if codec in PICTURES:
        pictures, clean = PICTURES[codec]
        return next((unit for unit in _traced(trace, "nal_unit_type") if unit in pictures), None) in clean
    return all(_traced(trace, name)[:1] == [value] for name, value in KEY_FRAME.items())


def _trace_command(path: Path, seek_s: int) -> list[str]:
    """ffmpeg says in its messages what the headers of one packet hold."""
    import ffmpeg

    one = {"c": "copy", "copyinkf": None, "frames:v": 1, "bsf:v": "trace_headers", "f": "null"}
    output = ffmpeg.output(media_input(path, ss=seek_s, **SEEKING)["v:0"], "pipe:", **one)
    return compile_command(output.global_args("-copyts", "-start_at_zero"), "info")


def _traced(trace: str, name: str) -> list[int]:
    """Values of one field of the headers, in their order."""
    return [int(value) for value in re.findall(rf" {name} +[01]+ = (\d+)$", trace, flags=re.MULTILINE)]


def header_of(listing: str) -> dict[str, str]:
    """What stands above the packets, by name."""
    return dict(re.findall(r"^#(\w+) 0: (.+)$", listing, flags=re.MULTILINE))


def shown_packets(listing: str) -> list[tuple[int, int]]:
    """Presentation time and duration of the listed packets that are shown, in ticks, by time; `NO_TIME` where
    there is none."""
    shown = []
    for line in listing.splitlines():
        if line.startswith("0,"):
            fields = [field.strip() for field in line.split(",")]
            flags = next((int(field[2:], 16) for field in fields[6:] if field.startswith("F=")), 0)
            if not flags & DISCARDED:
                shown.append((int(fields[2]), int(fields[3])))
    return sorted(shown)


def require_whole(path: Path, messages: str) -> None:
    """Raise InvalidInput where ffmpeg's messages about a file say that it was cut short."""
    if CUT_SHORT.search(messages) or ends_early(path):
        raise InvalidInput(
            f"{path} was cut short: it ends before its header says; copy it again, or save what is there: "
            "ffmpeg -i FILE -c copy ANYWHERE"
        )
