"""Measuring source material while a spec is checked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from textwrap import shorten
from typing import Any

from jobs.errors import FarmError
from jobs.expand import Variant, setting, variants
from jobs.facts import LatentFact, SourceFacts, VideoFact, VideoProbe
from jobs.findings import Finding
from jobs.frames import SPATIAL, TEMPORAL, frames_of, latents_of
from jobs.headers import read_header
from jobs.places import Location, shown
from jobs.spec import JobSpec

MOST_SAID = 300
LATENT_NAMES = ("latents", "latent_tensor", "samples")


def probe_sources(
    spec: JobSpec, probe: VideoProbe | None, skip: Collection[Location] = ()
) -> tuple[list[Finding], SourceFacts]:
    """Facts of every source of the spec, and what is wrong with them; `skip` is known to be faulty."""
    videos: dict[str, VideoFact] = {}
    latents: dict[str, LatentFact] = {}
    findings: list[Finding] = []
    for index, video in enumerate(spec.videos):
        if video.source is None:
            continue
        place = ("videos", index, "source", "latent" if video.source.latent else "video")
        if place in skip:
            continue
        try:
            if video.source.latent is not None:
                latents[video.source.latent] = read_latent_fact(Path(video.source.latent))
            elif probe is not None:
                videos[video.source.path] = probe(video.source.path)
        except (OSError, ValueError, FarmError) as error:
            kind = (
                "a latent in a .safetensors file" if video.source.latent else "a video that ffmpeg can read"
            )
            why = shorten(str(error).splitlines()[0], MOST_SAID, placeholder=" ...")
            reason = f"{shown(video.source.path)}: {why}"
            findings.append(Finding(place, reason, kind, "give another file"))
    facts = SourceFacts(videos, latents)
    if not findings and not skip:
        findings += [finding for variant in variants(spec) for finding in _check_variant(variant, facts)]
    return list({finding.location: finding for finding in findings}.values()), facts


def read_latent_fact(path: Path) -> LatentFact:
    """Shape of the latent in a safetensors file, from its header. Raises OSError or ValueError."""
    return _latent_shape(read_header(path))


def _latent_shape(header: dict[str, Any]) -> LatentFact:
    for name in LATENT_NAMES:
        entry = header.get(name)
        shape = entry.get("shape") if isinstance(entry, dict) else None
        if isinstance(shape, list) and len(shape) == 5 and all(isinstance(n, int) and n > 0 for n in shape):
            return LatentFact(latents=shape[2], channels=shape[1], height=shape[3], width=shape[4])
    raise ValueError(f"no tensor [1, C, T, h, w] named {' or '.join(LATENT_NAMES)}")


def _check_variant(variant: Variant, facts: SourceFacts) -> Iterator[Finding]:
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
        yield Finding(place, f"{frames} frames", "at least 9 frames at the job's rate", "give a longer one")
        return
    if source.last_frames is not None and source.last_frames > frames:
        rule = f"at most the {frames} frames that the source has at {variant.frame_rate:g} frames per second"
        remedy = f"write {frames_of(latents_of(frames))} or less, or leave it out"
        yield Finding((*here, "last_frames"), f"{source.last_frames} frames", rule, remedy)
    yield from _check_first_overlap(variant, frames)


def _check_latent_size(variant: Variant, fact: LatentFact, place: Location) -> Iterator[Finding]:
    have = fact.width * SPATIAL, fact.height * SPATIAL
    if have != variant.size:
        rule = f"the size of the video, {variant.size[0]}x{variant.size[1]}"
        remedy = f"set width: {have[0]} and height: {have[1]} for this video"
        yield Finding(place, f"a latent of {have[0]}x{have[1]}", rule, remedy)


def _check_first_overlap(variant: Variant, frames: int) -> Iterator[Finding]:
    first = variant.video.chunks[0].extend
    source = variant.video.source
    if first is None or source is None:
        return
    overlap = setting(first, variant.defaults, "overlap_frames")
    limit = latents_of(min(frames, source.last_frames or frames)) * TEMPORAL
    if overlap > limit:
        place = ("videos", variant.index, "chunks", 0, "extend")
        rule = f"the overlap is no longer than the source: at most {limit} frames"
        field = ("overlap_frames",) if "overlap_frames" in first.model_fields_set else ()
        yield Finding((*place, *field), f"{overlap} frames", rule, f"write {limit} or less")
