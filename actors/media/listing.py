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
            "ffmpeg -i FILE -c copy WHOLE"
        )
