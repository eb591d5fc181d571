"""What a rule of the spec finds, before it becomes a message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from jobs.errors import Problem
from jobs.places import Location, place_of


@dataclass(frozen=True)
class BrokenRule:
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


class FaultyPlaces:
    """Places known to be at fault; `touch` tells whether one lies at, above or below a location."""

    def __init__(self, locations: Iterable[Location]) -> None:
        self._faulty = frozenset(locations)
        self._above = frozenset(prefix for location in self._faulty for prefix in _prefixes(location))

    def touch(self, location: Location) -> bool:
        """True when `location` is faulty, holds something faulty, or lies inside something faulty."""
        return location in self._above or any(prefix in self._faulty for prefix in _prefixes(location))


def not_caused_by(faulty: Iterable[Location], findings: Iterable[BrokenRule]) -> list[BrokenRule]:
    """Findings that neither stand at a faulty place nor follow from one."""
    places = FaultyPlaces(faulty)
    return [
        finding
        for finding in findings
        if not any(places.touch(location) for location in (finding.location, *finding.depends))
    ]


def _prefixes(location: Location) -> Iterator[Location]:
    return (location[:length] for length in range(1, len(location) + 1))
