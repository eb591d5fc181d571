"""What of a workflow a job spec does not say, place by place."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Effect(StrEnum):
    """What it makes of the film: `film`, another one; `bits`, the same one, its bytes may differ; `none`."""

    FILM = "film"
    BITS = "bits"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Gap:
    """Something at `place` (`NODE.INPUT`) that has no counterpart, or an inexact one: why, and what to do."""

    place: str
    value: str
    reason: str
    effect: Effect

    def __str__(self) -> str:
        return f"{self.place}: {self.value}: {self.reason}"


@dataclass
class Gaps:
    """All that were made while a workflow was read, each once."""

    made: list[Gap] = field(default_factory=list)

    def note(self, place: str, value: str, reason: str, effect: Effect = Effect.FILM) -> None:
        found = Gap(place, value, reason, effect)
        if found not in self.made:
            self.made.append(found)
