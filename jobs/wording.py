"""How messages count."""

from __future__ import annotations


def amount(count: float, noun: str) -> str:
    """`1 film`, `2 films`, `0.5 GPUs`."""
    number = f"{count:g}" if isinstance(count, float) else str(count)
    return f"{number} {noun}{'' if count == 1 else 's'}"
