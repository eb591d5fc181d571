"""What temporal rounds need of the passes before them, of the engine, and of what stands in the film."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.places import shown
from jobs.planning.expand import Variant, placed_chunks, variants
from jobs.planning.rounds.layout import SNAPPED_ABOVE
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from jobs.places import Location
    from jobs.spec.job import JobSpec, Upscale
    from jobs.spec.video import Video

HERE: Location = ("upscale", "temporal")
WITHOUT = "or `temporal: 0`"


def check_rounds(spec: JobSpec) -> Iterator[BrokenRule]:
    """The second pass that rounds go on from, and an engine that makes them."""
    upscale = spec.upscale
    if upscale is None or not upscale.temporal:
        return
    if spec.engine.name == "comfyui":
        rule = "the comfyui engine makes no temporal rounds: its core has no sampler for their tiles"
        remedy = f"write `engine.name: diffusers`, {WITHOUT}"
        yield BrokenRule(("engine", "name"), "comfyui", rule, remedy, (HERE,))
    yield from _check_pass(upscale)
    for index, video in enumerate(spec.videos):
        if video.source is not None:
            rule = "a film with temporal rounds is made whole: a source has frames of its own rate"
            yield BrokenRule(("videos", index, "source"), "set", rule, _without_source(video), (HERE,))


def _without_source(video: Video) -> str:
    if video.retakes:
        return "write `temporal: 0`: a retake is of a source"
    begins = video.chunks and video.chunks[0].extend is not None
    begun = " and begin with a `generate`" if begins else ""
    return f"render it without the source{begun}, {WITHOUT}"


def _check_pass(upscale: Upscale) -> Iterator[BrokenRule]:
    if upscale.spatial != 2:
        rule = "temporal rounds follow a second pass of twice the width and height"
        place: Location = ("upscale", "spatial")
        yield BrokenRule(place, f"{upscale.spatial:g}", rule, f"write `spatial: 2`, {WITHOUT}", (HERE,))
    if upscale.sigmas is None and not (upscale.steps and upscale.denoise):
        field = "denoise" if upscale.steps else "steps"
        rule = "temporal rounds hold stills that the second pass makes, and this one only upsamples"
        remedy = f"leave `{field}` out, {WITHOUT}"
        yield BrokenRule(("upscale", field), "0", rule, remedy, (HERE,))
    if upscale.joint != "still":
        rule = "with temporal rounds two chunks meet in a still, which both of them hold in every round"
        remedy = f"leave `joint` out, or write `joint: still`, {WITHOUT}"
        yield BrokenRule(("upscale", "joint"), upscale.joint, rule, remedy, (HERE,))


def check_rounds_of_films(spec: JobSpec) -> Iterator[BrokenRule]:
    """Rates that the passes were trained for, and no clip that plays at another rate than the film."""
    if spec.upscale is None or not spec.upscale.temporal:
        return
    for variant in variants(spec):
        if variant.frame_rate > SNAPPED_ABOVE:
            rule = (
                f"with temporal rounds `frame_rate` is that of the passes, {SNAPPED_ABOVE:g} at most; the "
                f"film has {spec.upscale.temporal} times as many frames a second"
            )
            remedy = f"write {SNAPPED_ABOVE:g} or less, {WITHOUT}"
            yield BrokenRule(
                _rate_of(spec, variant), f"{variant.frame_rate:g}", rule, remedy, (HERE, ("matrix",))
            )
        for placed in placed_chunks(variant):
            images = zip(placed.chunk.settings.images, placed.images, strict=True)
            for guide, place in images:
                if guide.video is not None:
                    rule = "with temporal rounds chunks hold stills: a clip plays at the rate of the passes"
                    still = shown(f"{Path(guide.video).stem}.png")
                    at = "" if "shots" in place else ", frame: -1"
                    remedy = f"hold a still of it, `image: {still}{at}` in place of `video`, {WITHOUT}"
                    yield BrokenRule((*place, "video"), "held", rule, remedy, (HERE,))


def _rate_of(spec: JobSpec, variant: Variant) -> Location:
    if variant.video.frame_rate is not None:
        return ("videos", variant.index, "frame_rate")
    if "frame_rate" in spec.matrix:
        words = [str(value) for value in spec.matrix["frame_rate"]]
        return ("matrix", "frame_rate", words.index(dict(variant.combination)["frame_rate"]))
    return ("defaults", "frame_rate")
