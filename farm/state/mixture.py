"""A film that several kinds of software or device made, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.events import MadeWith
    from farm.state.job_state import FilmState

MOST_NAMED = 4


def mixture(film: FilmState) -> list[str]:
    """First that it is one, then a line for each kind: which shots, why, and what it does not share with the
    others. Empty where one kind made all of the film."""
    if not film.made_with:
        return []
    return [f"{film.output} is of several kinds of software or device, exact: false", *_lines(film.made_with)]


def _lines(kinds: Sequence[MadeWith]) -> Iterator[str]:
    for kind in kinds:
        yield f"{_shots(kind)}: {kind.why}, {_differing(kind, kinds)}"


def _differing(kind: MadeWith, kinds: Sequence[MadeWith]) -> str:
    keys = dict.fromkeys(key for each in kinds for key in each.software)
    differing = [key for key in keys if len({each.software.get(key, "") for each in kinds}) > 1]
    return ", ".join(_value(key, kind.software.get(key) or "none") for key in differing)


def _value(key: str, value: str) -> str:
    """`torch 2.13.0`; media tools are named by their values."""
    return value if value.startswith(f"{key} ") else f"{key} {value}"


def _shots(kind: MadeWith) -> str:
    if not kind.shots:
        return "encodes"
    more = len(kind.shots) - MOST_NAMED
    return ", ".join(kind.shots[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
