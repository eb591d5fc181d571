"""Places in a spec (`videos[0].chunks[2].extend`) and values as an error message shows them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher, get_close_matches
from typing import Any

from jobs.wording import amount

Location = tuple[str | int, ...]
SHOWN_CHARS = 60
MOST_SHOWN = 4096
"""A longer text is no path, and its end is not looked for."""


def place_of(location: Location) -> str:
    """`("videos", 0, "name")` -> `videos[0].name`."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part[:80]}" if text else part[:80]
    return text


def nearest(word: str, options: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The option that was probably meant, None when nothing comes near."""
    ranked = [(_likeness(word[:80].lower(), option, cutoff), option) for option in options]
    best = max(ranked, default=(0.0, ""))
    return best[1] if best[0] >= cutoff else None


def did_you_mean(name: str, known: Sequence[str], most: int = 3) -> str:
    """The remedy for a name that is none of these: those that come near, or the first of all where none
    does; leaving the name out where there is none at all."""
    if not known:
        return "leave it out: there is none to choose from"
    near = get_close_matches(name, known, n=most, cutoff=0.6)
    if near:
        return f"did you mean {', '.join(near)}?"
    some = [*known[:most], *(["another one"] if len(known) > most else [])]
    return f"write {' or '.join(filter(None, (', '.join(some[:-1]), *some[-1:])))}"


SWAPPED = 0.1
"""Swapped letters count as that much nearer."""


def _likeness(word: str, option: str, cutoff: float) -> float:
    """From 0 to 1, and a little more; 0 where bounds that take less time say that it is below the cutoff."""
    match = SequenceMatcher(None, word, option)
    if min(match.real_quick_ratio(), match.quick_ratio()) + SWAPPED < cutoff:
        return 0.0
    return match.ratio() + (SWAPPED if sorted(word) == sorted(option) else 0.0)


def shown(value: Any) -> str:
    """A short, safe spelling of any value."""
    if isinstance(value, str):
        return _shortened(json.dumps(value[:MOST_SHOWN], ensure_ascii=False))
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return f"a mapping of {amount(len(value), 'key')}"
    if isinstance(value, list | tuple):
        return _list_shown(value)
    return type(value).__name__


def _list_shown(value: list[Any] | tuple[Any, ...]) -> str:
    plain = all(isinstance(item, str | int | float | bool | None) for item in value[:8])
    text = "[" + ", ".join(shown(item) for item in value) + "]" if plain and len(value) <= 8 else ""
    return text if 0 < len(text) <= SHOWN_CHARS else f"a list of {amount(len(value), 'item')}"


def _shortened(text: str) -> str:
    """Short enough for a line. Of a path the end tells more than the beginning."""
    if len(text) <= SHOWN_CHARS:
        return text
    if "/" in text and " " not in text:
        return f"{text[: SHOWN_CHARS // 4]}…{text[-(SHOWN_CHARS - SHOWN_CHARS // 4 - 1) :]}"
    return text[: SHOWN_CHARS - 1] + "…"
