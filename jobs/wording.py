"""How messages count, and how they say durations and sizes."""

from __future__ import annotations


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


def size(count: int) -> str:
    """`512 B`, `1.5 MiB`, `12.0 GiB`."""
    number, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if number >= 1024:
            number, unit = number / 1024, larger
    return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
