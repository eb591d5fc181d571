"""Parameters of guiders: which there are, and what they take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jobs.findings import Finding
from jobs.params import GUIDER_PARAMS
from jobs.places import Location, nearest, shown
from jobs.spec import Guider


def check_guider(guider: Guider, location: Location) -> Iterator[Finding]:
    """The parameters of a guider that the engines have; `location` is that of the guider."""
    known = GUIDER_PARAMS.get(guider.name)
    if known is None:
        return
    for key, value in guider.params.items():
        place = (*location, "params", key)
        if key not in known:
            yield _unknown(guider.name, key, value, place)
        elif key == "blocks":
            yield from _check_blocks(value, place)
        elif isinstance(value, bool) or not isinstance(value, int | float):
            yield Finding(place, shown(value), "a number", "write a number, for example 1.0")


def _unknown(guider: str, key: str, value: Any, place: Location) -> Finding:
    known = GUIDER_PARAMS[guider]
    near = nearest(key, known)
    rule = f"the guider {guider} takes {', '.join(known) or 'no parameters'}"
    return Finding(place, shown(value), rule, f"did you mean `{near}`?" if near else f"remove `{key}`")


def _check_blocks(value: Any, place: Location) -> Iterator[Finding]:
    blocks = value if isinstance(value, list | tuple) else (value,)
    if not blocks or any(isinstance(b, bool) or not isinstance(b, int) or b < 0 for b in blocks):
        rule = "numbers of transformer blocks, from 0"
        yield Finding(place, shown(value), rule, "write for example `blocks: [14]`")
