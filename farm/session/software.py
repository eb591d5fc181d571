"""Which software made which task of a job with locks: several, or one that could have made all of a film."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from itertools import groupby
from operator import and_
from typing import TYPE_CHECKING

from jobs.tasks.task import Stage, TaskGraph

if TYPE_CHECKING:
    from jobs.tasks.digest import Digests
    from jobs.tasks.task import StageTask

ANY = -1
"""All bits: a set of software without limits."""


class Software:
    """Bits as in `Digests.made_with`; that of the number `today` is of what is installed here. A job without
    locks knows one software, and asks nothing."""

    def __init__(self, graph: TaskGraph | None = None, found: Digests | None = None, today: int = 0) -> None:
        self._bits = found.made_with if found else {}
        self._graph, self._today = graph, today
        self._films = dict(self._common()) if self._bits else {}

    def makes(self, task: str) -> bool:
        """Whether the software here gives the task's bytes."""
        return bool(self._bits.get(task, ANY) >> self._today & 1)

    def mixed(self, video: str) -> bool:
        """Whether no software alone could have made all tasks of the film."""
        return self._films.get(video, ANY) == 0

    @property
    def any_mixed(self) -> bool:
        """Whether that is so of any film."""
        return not all(self._films.values())

    def of(self, video: str) -> dict[int, tuple[list[int], Counter[str]]]:
        """By software that made any of the film: the shots whose pictures it made, by their numbers, and its
        tasks by stage. What several could have made counts for the earliest."""
        found: dict[int, tuple[list[int], Counter[str]]] = {}
        for shot, tasks in groupby(self._tasks_of(video), key=lambda task: task.shot):
            for number, made in self._split(list(tasks)):
                shots, stages = found.setdefault(number, ([], Counter()))
                stages.update(task.stage.value for task in made)
                if any(task.stage is not Stage.ENCODE for task in made):
                    shots.append(shot)
        return dict(sorted(found.items()))

    def _split(self, tasks: Sequence[StageTask]) -> Iterator[tuple[int, list[StageTask]]]:
        """The tasks of a shot by software: one where one could have made its pictures."""
        pictures = [task for task in tasks if task.stage is not Stage.ENCODE]
        one = _all(self._bits[task.id] for task in pictures)
        by_number: dict[int, list[StageTask]] = {}
        for task in tasks:
            bits = self._bits[task.id]
            by_number.setdefault(_first(bits & one or bits), []).append(task)
        yield from by_number.items()

    def _tasks_of(self, video: str) -> Iterator[StageTask]:
        """In order of shots, encodes with the first that needs them."""
        assert self._graph is not None
        own = [task for task in self._graph.tasks.values() if task.video == video]
        yield from sorted(own, key=lambda task: task.shot)

    def _common(self) -> Iterator[tuple[str, int]]:
        """By film: the software that could have made all of it, encodes that it shares included."""
        assert self._graph is not None
        films: dict[str, int] = {}
        for task in self._graph.tasks.values():
            if task.stage is not Stage.ENCODE:
                needs = (need.task for need in task.needs)
                bits = _all(self._bits[name] for name in (task.id, *needs))
                films[task.video] = films.get(task.video, ANY) & bits
        yield from films.items()


def _all(bits: Iterable[int]) -> int:
    return reduce(and_, bits, ANY)


def _first(bits: int) -> int:
    """The number of the lowest bit."""
    return (bits & -bits).bit_length() - 1
