"""Measuring source material while a spec is checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import FarmError
from jobs.frames import LATENT_CHANNELS, SPATIAL, TEMPORAL, frames_of, latents_of
from jobs.loading.clips import check_lengths, clip_parts, clip_paths
from jobs.loading.retakes import check_retakes
from jobs.places import Location, shown
from jobs.planning.expand import Variant, placed_chunks, setting
from jobs.planning.facts import ClipPart, LatentFact, Probes, SourceFacts, VideoFact
from jobs.planning.plan import source_plan
from jobs.rules.findings import BrokenRule
from jobs.rules.media import intact_films, said
from jobs.spec.base import MAX_FRAMES
from jobs.weights.safetensors_header import read_header

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec
    from jobs.spec.video import Source

LATENT_NAMES = ("latents", "latent_tensor", "samples")


def probe_sources(
    spec: JobSpec, probes: Probes, skip: Collection[Location] = ()
) -> tuple[list[BrokenRule], SourceFacts]:
    """Facts of every source of the spec, and what is wrong with them; `skip` is known to be faulty.

    Once all else is in order, what films use of them is decoded.
    """
    videos: dict[str, VideoFact] = {}
    latents: dict[str, LatentFact] = {}
    findings: list[BrokenRule] = []
    for place, source in _sources(spec):
        if place in skip:
            continue
        try:
            if source.latent is not None:
                latents[source.latent] = read_latent_fact(Path(source.latent))
            elif probes.video is not None and source.path not in videos:
                videos[source.path] = probes.video(source.path)
        except (OSError, ValueError, FarmError) as error:
            findings.append(_finding(place, source.path, said(error, source.path)))
    for place, path in clip_paths(spec):
        try:
            if place not in skip and probes.video is not None and path not in videos:
                videos[path] = probes.video(path)
        except (OSError, ValueError, FarmError) as error:
            findings.append(_finding(place, path, said(error, path)))
    facts = SourceFacts(videos, latents)
    for check in (_check_variant, check_lengths, check_retakes, _Decoder(probes).check):
        faulty = [*skip, *(finding.location for finding in findings)]
        findings += [finding for variant in intact_films(spec, faulty) for finding in check(variant, facts)]
    return list({finding.location: finding for finding in findings}.values()), facts


def _sources(spec: JobSpec) -> Iterator[tuple[Location, Source]]:
    for index, video in enumerate(spec.videos):
        if video.source is not None:
            yield ("videos", index, "source", "latent" if video.source.latent else "video"), video.source


def _finding(place: Location, path: str, why: str) -> BrokenRule:
    kind = (
        "latents in a whole .safetensors file" if place[-1] == "latent" else "a whole video, read by ffmpeg"
    )
    return BrokenRule(place, f"{shown(path)}: {why}", kind, "give another file")


class _Decoder:
    """Looks at what films use of their sources, at each part once."""

    def __init__(self, probes: Probes) -> None:
        self._probes = probes
        self._faults: dict[tuple[str, ClipPart], str] = {}

    def check(self, variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
        for place, path, part in (*_source_part(variant, facts), *clip_parts(variant, facts)):
            if (path, part) not in self._faults:
                self._faults[path, part] = self._fault(path, part, latent=place[-1] == "latent")
            if fault := self._faults[path, part]:
                yield _finding(place, path, fault)

    def _fault(self, path: str, part: ClipPart, latent: bool) -> str:
        try:
            if latent and self._probes.latent is not None:
                self._probes.latent(path, latents_of(part.frames))
            elif not latent and self._probes.clip is not None:
                self._probes.clip(path, part)
        except (OSError, ValueError, FarmError) as error:
            return said(error, path)
        return ""


def _source_part(variant: Variant, facts: SourceFacts) -> Iterator[tuple[Location, str, ClipPart]]:
    """What the film uses of its source, where that was measured."""
    source = variant.video.source
    if source is None or facts.frames(source.path, variant.frame_rate) is None:
        return
    opened = source_plan(variant, facts)
    assert opened is not None
    part = ClipPart(opened.skip_frames, opened.frames, variant.frame_rate)
    yield ("videos", variant.index, "source", opened.kind), source.path, part


def read_latent_fact(path: Path) -> LatentFact:
    """Shape of the latent in a safetensors file, from its header. Raises OSError or ValueError."""
    header = read_header(path)
    shape = header[latent_name(header)]["shape"]
    return LatentFact(latents=shape[2], channels=shape[1], height=shape[3], width=shape[4])


def latent_name(header: dict[str, Any]) -> str:
    """Which tensor holds the latents. Raises ValueError where none does."""
    for name in LATENT_NAMES:
        shape: list[int] = header[name]["shape"] if name in header else []
        if len(shape) == 5 and shape[0] == 1 and all(shape):
            return name
    raise ValueError(f"no tensor [1, C, T, h, w] named {' or '.join(LATENT_NAMES)}")


def _check_variant(variant: Variant, facts: SourceFacts) -> Iterator[BrokenRule]:
    source = variant.video.source
    if source is None:
        return
    here: Location = ("videos", variant.index, "source")
    frames = facts.frames(source.path, variant.frame_rate)
    if source.latent is not None:
        yield from _check_latent_size(variant, facts.latents[source.latent], (*here, "latent"))
    if frames is None:
        return
    if frames < 9:
        place = (*here, "latent" if source.latent else "video")
        yield BrokenRule(
            place, f"{frames} frames", "at least 9 frames at the job's rate", "give a longer one"
        )
        return
    longest = source.last_frames or frames_of(latents_of(frames))
    if longest > MAX_FRAMES:
        at: Location = (*here, "last_frames") if source.last_frames else here
        rule = f"a source opens with at most {MAX_FRAMES} frames"
        yield BrokenRule(at, f"{longest} frames", rule, f"write `last_frames: {MAX_FRAMES}` or less")
    if source.last_frames is not None and source.last_frames > frames:
        rule = f"at most the {frames} frames that the source has at {variant.frame_rate:g} frames per second"
        remedy = f"write {frames_of(latents_of(frames))} or less, or leave it out"
        yield BrokenRule((*here, "last_frames"), f"{source.last_frames} frames", rule, remedy)
    yield from _check_first_overlap(variant, frames)


def _check_latent_size(variant: Variant, fact: LatentFact, place: Location) -> Iterator[BrokenRule]:
    have = fact.width * SPATIAL, fact.height * SPATIAL
    if have != variant.size:
        rule = f"the size of the video, {variant.size[0]}x{variant.size[1]}"
        remedy = f"set width: {have[0]} and height: {have[1]} for this video"
        yield BrokenRule(place, f"a latent of {have[0]}x{have[1]}", rule, remedy)
    if fact.channels != LATENT_CHANNELS:
        rule = f"latents of an LTX model, which have {LATENT_CHANNELS} channels"
        yield BrokenRule(place, f"{fact.channels} channels", rule, "encode the clip with the job's own model")


def _check_first_overlap(variant: Variant, frames: int) -> Iterator[BrokenRule]:
    chunks, source = placed_chunks(variant), variant.video.source
    first = chunks[0].chunk.extend if chunks else None
    if first is None or source is None:
        return
    overlap = setting(first, variant.defaults, "overlap_frames")
    limit = latents_of(min(frames, source.last_frames or frames)) * TEMPORAL
    if overlap > limit:
        place = ("videos", variant.index, "chunks", 0, "extend")
        rule = f"the overlap is no longer than the source: at most {limit} frames"
        field = ("overlap_frames",) if "overlap_frames" in first.model_fields_set else ()
        yield BrokenRule((*place, *field), f"{overlap} frames", rule, f"write {limit} or less")
