"""What a rule of the spec finds, before it becomes a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from jobs.errors import Problem
from jobs.places import Location, place_of


@dataclass(frozen=True)
class Finding:
    """A broken rule at `location`; `depends` are other places whose values led to it."""

    location: Location
    value: str
    rule: str
    remedy: str
    depends: tuple[Location, ...] = ()

    @property
    def problem(self) -> Problem:
        """As the user reads it."""
        return Problem(place_of(self.location), self.value, self.rule, self.remedy)

    def blamed_on(self, faulty: Iterable[Location]) -> bool:
        """True when a place in `faulty` is at, above or below one that this finding rests on."""
        places = (self.location, *self.depends)
        return any(_related(place, other) for place in places for other in faulty)


def _related(one: Location, other: Location) -> bool:
    shorter = min(len(one), len(other))
    return one[:shorter] == other[:shorter]
