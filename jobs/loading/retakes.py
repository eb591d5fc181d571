"""Retakes lie in their source, one behind the other, and are no longer than can be sampled together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.frames import TEMPORAL, Span, frames_of, frames_of_latents
from jobs.planning.plan import source_plan
from jobs.planning.retakes.layout import LEAST_HELD, asked_frames, lay_retakes, too_near
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.places import Location
    from jobs.planning.expand import Variant
    from jobs.planning.facts import SourceFacts
    from jobs.planning.retakes.layout import RetakenPart


def check_retakes(variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
    """Whatever of the retakes of a film does not fit its source, or the model."""
    if not variant.video.retakes:
        return
    broken = [*_check_order(variant), *_check_ends(variant, facts)]
    yield from broken
    source = None if broken else _measured(variant, facts)
    if source is None:
        return
    parts = lay_retakes(variant, source)
    near = list(too_near(parts))
    for part in near:
        apart = LEAST_HELD * TEMPORAL
        rule = f"retakes are {apart} frames apart or more, each widened to whole latents of {TEMPORAL}"
        remedy = "make one of this and the one before it, or move its start"
        yield BrokenRule((*part.place, "start"), _spelled(part.retake.start), rule, remedy)
    if not near:
        yield from (finding for part in parts for finding in _check_room(part))


def _measured(variant: Variant, facts: SourceFacts) -> int | None:
    """Frames of the film; None where its source was not measured."""
    source = variant.video.source
    if source is None or facts.frames(source.path, variant.frame_rate) is None:
        return None
    planned = source_plan(variant, facts)
    return planned.frames if planned else None


def _check_order(variant: Variant) -> Iterator[BrokenRule]:
    for number, retake in enumerate(variant.video.retakes):
        asked = asked_frames(retake, variant.frame_rate)
        if asked.stop <= asked.start:
            place: Location = ("videos", variant.index, "retakes", number, "stop")
            rule = f"later than its `start`, {_spelled(retake.start)}: it is the first frame that stays"
            remedy = f"write {asked.start + TEMPORAL} or more"
            yield BrokenRule(place, _spelled(retake.stop), rule, remedy, ((*place[:-1], "start"),))


def _check_ends(variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
    frames, source = _measured(variant, facts), variant.video.source
    if frames is None or source is None:
        return
    have = min(facts.frames(source.path, variant.frame_rate) or frames, source.last_frames or 10**9)
    for number, retake in enumerate(variant.video.retakes):
        place: Location = ("videos", variant.index, "retakes", number)
        asked = asked_frames(retake, variant.frame_rate)
        rate = f"{variant.frame_rate:g} frames per second"
        rule = f"within the source, which has {have} frames ({have / variant.frame_rate:.2f} s) at {rate}"
        depends: tuple[Location, ...] = (("videos", variant.index, "source"),)
        if asked.start >= frames:
            remedy = f"write less than {frames}"
            yield BrokenRule((*place, "start"), _spelled(retake.start), rule, remedy, depends)
        elif asked.stop > have:
            remedy = f"write {have} for its end"
            yield BrokenRule((*place, "stop"), _spelled(retake.stop), rule, remedy, depends)


def _check_room(part: RetakenPart) -> Iterator[BrokenRule]:
    most = part.sampled - part.held_at_least
    if len(part.made) <= most:
        return
    own = "num_frames" in part.retake.model_fields_set
    together = frames_of(part.sampled)
    start = part.made.start
    most_frames = len(frames_of_latents(Span(start, start + most))) if most > 0 else 0
    frames = len(frames_of_latents(part.made))
    least = frames_of(len(part.made) + part.held_at_least)
    rule = (
        f"at most {most_frames} frames made anew at once: {together} are sampled together, and "
        f"{together - most_frames} of them are held around the part"
    )
    remedy = (
        f"make it anew in several films, each from the one before, or write `num_frames: {least}` where the "
        "model is trained for that many"
    )
    depends: tuple[Location, ...] = ((*part.place, "num_frames") if own else ("defaults", "num_frames"),)
    value = f"{frames} frames"
    yield BrokenRule((*part.place, "stop"), value, rule, remedy, depends)


def _spelled(moment: int | str) -> str:
    return f"frame {moment}" if isinstance(moment, int) else moment
