"""How messages count, how they say durations and sizes, and what of them a terminal may get."""

from __future__ import annotations

import re

_COMMANDS = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""What a terminal obeys or hides instead of showing it: control characters, marks that turn the direction of
writing, halves of characters. Line breaks and tabs may stay."""


def printable(text: str) -> str:
    """The text with escapes, such as `\\x1b`, in place of what a terminal would obey."""
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """`printable`, line breaks and tabs included: what stands in a line cannot begin another."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def size_text(size_bytes: int) -> str:
    """`812 KiB`, `3.4 MiB`, `12.0 GiB`."""
    for unit, scale in (("GiB", 2**30), ("MiB", 2**20)):
        if size_bytes >= scale:
            return f"{size_bytes / scale:.1f} {unit}"
    return f"{size_bytes / 1024:.0f} KiB"


def amount(count: float, noun: str) -> str:
    """`1 film`, `2 films`, `0.5 GPUs`."""
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun}{'' if count == 1 else 's'}"


def clock(seconds: float | None) -> str:
    """`1:02:03` or `2:03`; `…` for an unknown duration."""
    if seconds is None:
        return "…"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def duration(seconds: float) -> str:
    """`4.2 s` for what is short, else as `clock`."""
    return f"{seconds:.1f} s" if seconds < 60 else clock(seconds)


def size(count: int) -> str:
    """`512 B`, `1.5 MiB`, `12.0 GiB`."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number >= 1024:
            number, unit = number / 1024, larger
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
