"""What a film says of the software and devices that it was made with, where they are several."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.events import FilmDelivered, MadeWith, Notice
from farm.state.mixture import mixture
from jobs.tasks.task import Stage
from jobs.version import VERSION

if TYPE_CHECKING:
    from farm.events import Event
    from farm.session.ledger import Ledger
    from farm.state.fingerprint import Frozen
    from farm.state.job_state import FilmState
    from farm.state.locks import Locks
    from jobs.planning.planned import Plan
    from jobs.tasks.digest import Fingerprint

TODAY = "rendered with what is installed now"
STAGES = frozenset(stage.value for stage in Stage)


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of software and device, by name of what it is made of, and why results are made with it."""

    software: dict[str, str]
    why: str


def kinds(locks: Locks, today: Fingerprint, kept: Frozen | None) -> list[Kind]:
    """Those of the locks, in their order, and last that of today's results."""
    found = [
        Kind(_software(lock.engine, lock.media, lock.farm), f"locked on {_day(lock.locked_s)}")
        for lock in locks.locks
    ]
    farm = kept.farm if kept else VERSION
    return [*found, Kind(_software(today.engine, today.media, farm), TODAY)]


def made_with(plan: Plan, name: str, ledger: Ledger, software: Sequence[Kind]) -> tuple[MadeWith, ...]:
    """Each kind of software that made any of the film, where no kind alone could have made all of it."""
    if not ledger.software.mixed(name):
        return ()
    video = next(video for video in plan.videos if video.name == name)
    found = []
    for at, (shots, stages) in ledger.software.of(name).items():
        named = tuple(video.shot_name(shot) for shot in shots)
        found.append(MadeWith(software[at].software, named, dict(stages), software[at].why))
    return tuple(found)


def film_events(film: FilmState, preview: bool) -> Iterator[Event]:
    """Those of a film, or of a preview."""
    if said := mixture(film):
        yield Notice("; ".join(said))
    yield FilmDelivered(
        film.name, film.path, film.sha256, film.frames, film.fps, preview, film.exact, film.made_with
    )


def _software(engine: Mapping[str, Any], media: Mapping[str, str], farm: str) -> dict[str, str]:
    """Names and versions, flat; models are the spec's."""
    plain = {key: str(value) for key, value in engine.items() if key not in STAGES and _is_plain(value)}
    return {**plain, **engine.get("packages", {}), **media, "farm": farm}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _day(at_s: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at_s))
