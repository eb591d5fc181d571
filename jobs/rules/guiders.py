"""Parameters of guiders: which there are, and what they take."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from jobs.places import Location, nearest, shown
from jobs.planning.sampling import GUIDER_PARAMS, LTX2_PARAMS
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from jobs.spec.chunk import Guider

SPACES = ("denoised", "velocity")


def check_guider(guider: Guider, location: Location, engine: str) -> Iterator[BrokenRule]:
    """The parameters of a guider that the engines have; `location` is that of the guider."""
    known = _known(guider.name, engine)
    if known is None:
        return
    levels = guider.params.get("levels")
    count = len(levels) if isinstance(levels, tuple) and "levels" in known else 0
    for key, value in guider.params.items():
        place = (*location, "params", key)
        if key not in known:
            yield _unknown(guider.name, key, value, place, known, engine)
        elif count and key != "levels" and (values := _values(key, value)) not in (1, count):
            rule = f"one value, or {count}: one for each of `levels`"
            yield BrokenRule(place, f"{values} values", rule, "write as many", ((*location, "params"),))
        elif fault := _fault(key, value, count):
            yield BrokenRule(place, shown(value), *fault)


def _known(guider: str, engine: str) -> tuple[str, ...] | None:
    known = GUIDER_PARAMS.get(guider)
    if known is None or engine != "comfyui":
        return known
    return tuple(key for key in known if key in LTX2_PARAMS)


def _unknown(
    guider: str, key: str, value: Any, place: Location, known: tuple[str, ...], engine: str
) -> BrokenRule:
    near = nearest(key, known)
    rule = f"the guider {guider} of the {engine} engine takes {', '.join(known) or 'no parameters'}"
    return BrokenRule(place, shown(value), rule, f"did you mean `{near}`?" if near else f"remove `{key}`")


def _is_list(key: str, value: Any) -> bool:
    """Whether the value is a list of values; that of `blocks` may itself be a list."""
    if not isinstance(value, list | tuple):
        return False
    return key != "blocks" or any(isinstance(item, list | tuple) for item in value)


def _values(key: str, value: Any) -> int:
    return len(value) if _is_list(key, value) else 1


def _fault(key: str, value: Any, levels: int) -> tuple[str, str] | None:
    """Rule and remedy, where the value is none that the parameter takes."""
    if key == "space":
        fine, rule, remedy = value in SPACES, f"one of {', '.join(SPACES)}", "write one of these"
    elif key == "cfg_star_rescale":
        fine, rule, remedy = isinstance(value, bool), "true or false", "write true or false"
    elif key == "levels":
        fine = _numbers(value) and all(one > other for one, other in pairwise(value))
        rule, remedy = "noise levels that fall from each to the next", "write for example `levels: [1, 0.9]`"
    elif key == "blocks":
        lists = value if _is_list(key, value) else (value,)
        fine = all(map(_are_blocks, lists)) and (levels > 0 or _all_named(lists))
        rule, remedy = "numbers of transformer blocks, from 0", "write for example `blocks: [14]`"
    elif levels:
        fine = _is_number(value) or _numbers(value)
        rule, remedy = "a number, or one for each of `levels`", "write for example 1.0"
    else:
        fine, rule, remedy = _is_number(value), "a number", "write a number, for example 1.0"
    return None if fine else (rule, remedy)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _numbers(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(map(_is_number, value))


def _are_blocks(value: Any) -> bool:
    blocks = value if isinstance(value, list | tuple) else (value,)
    return all(isinstance(block, int) and not isinstance(block, bool) and block >= 0 for block in blocks)


def _all_named(lists: Any) -> bool:
    """A single list of blocks names at least one."""
    return all(not isinstance(blocks, list | tuple) or bool(blocks) for blocks in lists)
