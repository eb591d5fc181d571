"""Every broken rule of a spec, and those on its size and its topology."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from jobs.errors import Problem, UsageError
from jobs.frames import latents_of
from jobs.places import shown
from jobs.planning.choices import numbers_of_takes
from jobs.planning.retakes.chunks import MOST_KEPT
from jobs.rules.chains import check_chains, check_length
from jobs.rules.engines import (
    check_audio,
    check_loras,
    check_number_type,
    check_references,
    check_retakes,
    check_samplers,
    check_upscaled_size,
    check_upscaler,
    gang_refusal,
)
from jobs.rules.findings import BrokenRule
from jobs.rules.joints import check_images, check_shots
from jobs.rules.matrix import check_filled, check_matrix, check_placeholders
from jobs.rules.outputs import check_formats, check_names, check_output_url
from jobs.rules.recipes import check_recipe
from jobs.rules.rounds.needs import check_rounds, check_rounds_of_films
from jobs.rules.sound.tracks import check_tracks
from jobs.spec.base import MAX_FRAMES
from jobs.spec.job import JobSpec
from jobs.tasks.task import Stage
from jobs.tasks.topology import AUTO, Machine, parse_topology

if TYPE_CHECKING:
    from jobs.spec.video import Video
    from jobs.tasks.topology import Topology

MAX_VIDEOS = 10_000
MAX_CHUNKS = 100_000
ANY_MACHINE_GPUS = 1e9


Rule = Callable[[JobSpec], Iterator[BrokenRule]]


def find_faults(spec: JobSpec) -> list[BrokenRule]:
    """Every broken rule, each place once. Rules on whole films run only where the matrix can be unrolled."""
    found = [finding for rule in (check_matrix, check_amount) for finding in rule(spec)]
    unrolled = () if found else FILM_RULES
    found += [finding for rule in (*FIELD_RULES, *unrolled) for finding in rule(spec)]
    return list({finding.location: finding for finding in reversed(found)}.values())[::-1]


def check_amount(spec: JobSpec) -> Iterator[BrokenRule]:
    """Bounds on what one job may unroll to."""
    combinations = math.prod(len(values) for values in spec.matrix.values())
    takes = sum(count for video in spec.videos for count in numbers_of_takes(video) if count > 1)
    videos = combinations * (len(spec.videos) + takes)
    if videos > MAX_VIDEOS:
        rule = f"at most {MAX_VIDEOS} videos in a job, takes among them"
        yield BrokenRule(("matrix",), f"{videos} videos", rule, "split the job")
        return
    per_video = [_most_chunks(spec, video) for video in spec.videos]
    if combinations * sum(per_video) > MAX_CHUNKS:
        longest = per_video.index(max(per_video))
        value = f"{combinations * sum(per_video)} chunks in the job"
        field = "shots" if spec.videos[longest].shots else "chunks"
        yield BrokenRule(("videos", longest, field), value, f"at most {MAX_CHUNKS} in a job", "split the job")
        return
    segments = combinations * sum(per_video) * max(1, len(spec.output.deliveries))
    if segments > MAX_CHUNKS:
        rule = f"at most {MAX_CHUNKS} in a job: one for each chunk and delivery"
        remedy = "split the job, or deliver in fewer forms"
        yield BrokenRule(("output", "deliveries"), f"{segments} segments", rule, remedy, (("videos",),))


def _most_chunks(spec: JobSpec, video: Video) -> int:
    """Chunks of a video and of the takes of its shots, at the most; they are not laid out for it."""
    rates = [video.frame_rate] if video.frame_rate else _values(spec, "frame_rate")
    least = min(map(int, _values(spec, "num_new_frames")))
    seconds = sum(shot.seconds * _times_made(shot.takes) for shot in video.shots)
    marks = sum((1 + len(s.beats) + len(s.images)) * _times_made(s.takes) for s in video.shots)
    chunks, times = 0, 1
    for chunk in video.chunks:
        times = _times_made(chunk.generate.takes) if chunk.generate else times
        chunks += times * (chunk.extend.repeat if chunk.extend else 1)
    if video.retakes:
        chunks += 2 * len(video.retakes) + math.ceil(latents_of(MAX_FRAMES) / MOST_KEPT)
    return chunks + marks + math.ceil(seconds * max(rates) / least)


def _times_made(takes: int) -> int:
    """In how many films a shot is that has several takes: that of the video, and those of takes."""
    return 1 + takes if takes > 1 else 1


def _values(spec: JobSpec, field: str) -> list[float]:
    """What a field of `defaults` may be, the matrix included."""
    return [
        getattr(spec.defaults, field),
        *(v for v in spec.matrix.get(field, ()) if isinstance(v, int | float)),
    ]


def check_topology(spec: JobSpec) -> Iterator[BrokenRule]:
    """The topology parses and hosts every stage; how many GPUs there are is known only later."""
    if spec.run.topology == AUTO:
        return
    place, value = ("run", "topology"), shown(spec.run.topology)
    try:
        topology = parse_topology(spec.run.topology, Machine(gpus=ANY_MACHINE_GPUS))
    except UsageError as error:
        problem = error.problems[0]
        yield BrokenRule(place, value, problem.rule, problem.remedy)
        return
    if refusal := gang_refusal(spec.engine.name, topology):
        yield BrokenRule(place, value, *refusal, (("engine", "name"),))
    if refusal := _hosts_refusal(spec, topology):
        yield BrokenRule(place, value, *refusal, (("upscale",),))


def _hosts_refusal(spec: JobSpec, topology: Topology) -> tuple[str, str] | None:
    """Rule and remedy for a topology that hosts not every stage of the job."""
    missing = topology.missing(stages_of(spec))
    rule = f"the job needs {', '.join(missing)}, which none of these workers hosts"
    return (rule, f"add `{'+'.join(missing)}=1`, or write `mono` or `auto`") if missing else None


def stages_of(spec: JobSpec) -> frozenset[Stage]:
    """The stages that every job of this spec has."""
    return frozenset(stage for stage in Stage if stage is not Stage.UPSCALE or spec.upscale is not None)


def require_hosts(spec: JobSpec, topology: str) -> None:
    """Raises UsageError for a topology that does not parse, has gangs where the engine has none, or in which
    nobody hosts a stage of the job."""
    if topology.strip() == AUTO:
        return
    parsed = parse_topology(topology, Machine(gpus=ANY_MACHINE_GPUS))
    if refusal := gang_refusal(spec.engine.name, parsed) or _hosts_refusal(spec, parsed):
        raise UsageError([Problem("topology", repr(topology), *refusal)])


FIELD_RULES: tuple[Rule, ...] = (
    check_placeholders,
    check_filled,
    check_formats,
    check_output_url,
    check_topology,
    check_tracks,
    check_audio,
    check_samplers,
    check_upscaler,
    check_loras,
    check_number_type,
    check_recipe,
    check_retakes,
    check_rounds,
)
FILM_RULES: tuple[Rule, ...] = (
    check_names,
    check_shots,
    check_chains,
    check_images,
    check_length,
    check_references,
    check_upscaled_size,
    check_rounds_of_films,
)
