"""What the bundled model can read and was never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING

from jobs.advice.prompts import texts
from jobs.rules.prompts import uses_bundled_words

if TYPE_CHECKING:
    from jobs.planning.planned import Plan

# As the model card lists them.
OBJECT_COLOURS = frozenset(
    ["red", "scarlet", "green", "blue", "yellow", "golden", "purple", "violet", "orange"]
)
SHAPES = frozenset(
    ["ball", "circle", "sphere", "disc", "cube", "square", "box", "block", "triangle", "pyramid"]
)
BACKGROUND_COLOURS = frozenset(["teal", "gray", "grey", "navy", "white", "black", "dark"])
BACKGROUNDS = frozenset(("background", "backdrop", "wall"))
SHOWN = 3


def colour_advice(plan: Plan) -> Iterator[str]:
    """Colours where the model has never seen them."""
    if not uses_bundled_words(plan.engine):
        return
    found = {phrase: place for place, text in texts(plan) for phrase in _unseen(text)}
    if found:
        place = next(iter(found.values()))
        named = ", ".join(f'"{phrase}"' for phrase in list(found)[:SHOWN])
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield (
            f"{place}: the bundled model never saw {named}{more}, and makes something else of it; write "
            "objects in red, green, blue, yellow, purple or orange, over teal, gray, navy, white or black"
        )


def _unseen(text: str) -> Iterator[str]:
    for colour, thing in pairwise(re.findall(r"[a-z]+", text.lower())):
        swapped = (colour in BACKGROUND_COLOURS and thing in SHAPES) or (
            colour in OBJECT_COLOURS and thing in BACKGROUNDS
        )
        if swapped:
            yield f"{colour} {thing}"
