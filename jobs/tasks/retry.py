"""Surgical re-render: which results go when some chunks are to be rendered again. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from jobs.errors import Problem, UsageError
from jobs.places import did_you_mean
from jobs.planning.seeds import derive_seed
from jobs.tasks.task import Stage, TaskGraph

if TYPE_CHECKING:
    from jobs.planning.planned import Plan, PlannedChunk

_RANGE = re.compile(r"(\d{1,9})(?:-(\d{1,9}))?\Z")


class RetryState(StrEnum):
    """Which chunks to take, where neither videos nor chunks are named, or on top of them."""

    FAILED = "failed"
    INEXACT = "inexact"


@dataclass(frozen=True, slots=True)
class Selection:
    """What the user picked: empty sets mean every video and every chunk.

    Chunks count from 0 within a video. `reseed` samples the picked chunks with new seeds, `prompt` with
    another prompt. A film and its draft are picked together.
    """

    videos: frozenset[str] = frozenset()
    chunks: frozenset[int] = frozenset()
    state: RetryState | None = None
    reseed: bool = False
    prompt: str = ""


@dataclass(frozen=True, slots=True)
class PromptChange:
    """Another prompt for one chunk."""

    video: str
    chunk: int
    prompt: str


@dataclass(frozen=True, slots=True)
class SeedChange:
    """A new sample seed for one chunk."""

    video: str
    chunk: int
    seed: int


@dataclass(frozen=True, slots=True)
class Retry:
    """What a retry does, task ids in plan order, and what was done about it.

    `chosen` are the picked chunks' tasks, `closure` those and all that depend on them, `again` tasks outside
    the closure that run once more because their artifact was evicted and the closure reads it. `videos` are
    the films that change, `committed` counts the results that the closure has. Of these, `voided` are gone,
    and `unlocked` were locked: none as long as `dry_run`, or where the job's driver was `asked` to do it.
    """

    job: str
    chosen: tuple[str, ...]
    closure: tuple[str, ...]
    again: tuple[str, ...]
    videos: tuple[str, ...]
    seeds: tuple[SeedChange, ...]
    committed: int
    dry_run: bool
    voided: int
    unlocked: int = 0
    prompts: tuple[PromptChange, ...] = ()
    asked: bool = False


def parse_chunks(text: str) -> frozenset[int]:
    """`"3-5,8"` is {3, 4, 5, 8}; raises UsageError."""
    numbers: set[int] = set()
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        match = _RANGE.match(part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last:
            rule = "chunk numbers from 0, such as 3 or 3-5"
            raise UsageError([Problem("--chunks", repr(part), rule, "write for example 3-5,8")])
        numbers.update(range(first, last + 1))
    return frozenset(numbers)


def plan_retry(
    plan: Plan,
    graph: TaskGraph,
    selection: Selection,
    tasks_in_state: Collection[str] = (),
    evicted: Collection[str] = (),
    committed: Collection[str] = (),
) -> Retry:
    """The closure of a selection, with nothing done yet.

    `tasks_in_state` are the tasks that are in `selection.state`, `evicted` those whose artifact was evicted,
    `committed` those that have one.
    Raises UsageError for a video or chunk that is not in the plan, and where nothing matches.
    """
    chunks = chosen_chunks(plan, selection)
    if selection.state is not None:
        in_state = {(graph.tasks[task].video, graph.tasks[task].chunk) for task in tasks_in_state}
        chunks = [chunk for chunk in chunks if (chunk.video, chunk.index) in in_state]
    if selection.state is None or selection.reseed or selection.prompt:
        roots = _tasks_of(graph, chunks)
    else:
        roots = _tasks_in_state(graph, chunks, tasks_in_state)
    if not roots:
        raise UsageError([_nothing(selection)])
    closure, own = graph.closure(roots), _own(plan, chunks)
    return Retry(
        job=plan.job,
        chosen=tuple(roots),
        closure=closure,
        again=_again(graph, closure, evicted),
        videos=tuple(dict.fromkeys(graph.tasks[task].video for task in closure)),
        seeds=tuple(_new_seed(each) for each in own if selection.reseed and each.is_sampled),
        committed=len({*committed, *evicted}.intersection(closure)),
        dry_run=True,
        voided=0,
        prompts=_new_prompts(own, selection.prompt),
    )


def _own(plan: Plan, chunks: Iterable[PlannedChunk]) -> list[PlannedChunk]:
    """Without those that a draft has of its film."""
    names = {video.name for video in plan.videos if video.own}
    return [chunk for chunk in chunks if chunk.video in names]


def _new_prompts(chunks: Iterable[PlannedChunk], prompt: str) -> tuple[PromptChange, ...]:
    sampled = [chunk for chunk in chunks if prompt and chunk.is_sampled]
    return tuple(PromptChange(chunk.video, chunk.index, prompt) for chunk in sampled)


def _new_seed(chunk: PlannedChunk) -> SeedChange:
    return SeedChange(chunk.video, chunk.index, derive_seed(chunk.seed, "reseed"))


def chosen_chunks(plan: Plan, selection: Selection) -> list[PlannedChunk]:
    """The chunks that a selection names, whatever their state. Raises UsageError for unknown ones."""
    names = [video.name for video in plan.videos]
    problems = [_unknown_video(name, names) for name in sorted(selection.videos - set(names))]
    videos = [video for video in plan.videos if not selection.videos or video.name in _named(plan, selection)]
    longest = max((len(video.chunks) for video in videos), default=0)
    beyond = sorted(number for number in selection.chunks if number >= longest)
    if beyond and not problems:
        rule = f"chunks of these videos are numbered 0 to {longest - 1}"
        problems.append(Problem("--chunks", str(beyond[0]), rule, "name chunks that are there"))
    if problems:
        raise UsageError(problems)
    every = (chunk for video in videos for chunk in video.chunks)
    return [chunk for chunk in every if not selection.chunks or chunk.index in selection.chunks]


def _named(plan: Plan, selection: Selection) -> set[str]:
    """The videos that are named, and the films and drafts of these."""
    named = [video for video in plan.videos if video.name in selection.videos]
    films = {video.film for video in named if video.take is None}
    beside = (video.name for video in plan.videos if video.take is None and video.film in films)
    return {*selection.videos, *beside}


def _unknown_video(name: str, names: list[str]) -> Problem:
    return Problem("--videos", repr(name), "must be a video of the job", did_you_mean(name, names))


def _nothing(selection: Selection) -> Problem:
    what = f"no chosen chunk is {selection.state}" if selection.state else "no chunk is chosen"
    remedy = "leave out --state to take every chosen chunk, or choose others"
    return Problem("retry", what, "at least one chunk must match", remedy)


def _tasks_of(graph: TaskGraph, chunks: Iterable[PlannedChunk]) -> list[str]:
    """The chunks' own tasks. Encodes are shared and deterministic: rendering them again changes nothing."""
    wanted = {(chunk.video, chunk.index) for chunk in chunks}
    return [
        task.id
        for task in graph.tasks.values()
        if task.stage is not Stage.ENCODE and (task.video, task.chunk) in wanted
    ]


def _tasks_in_state(graph: TaskGraph, chunks: Iterable[PlannedChunk], tasks: Collection[str]) -> list[str]:
    wanted = {(chunk.video, chunk.index) for chunk in chunks}
    return [
        name for name, task in graph.tasks.items() if name in tasks and (task.video, task.chunk) in wanted
    ]


def _again(graph: TaskGraph, void: Collection[str], evicted: Collection[str]) -> tuple[str, ...]:
    """Evicted artifacts that the closure reads, and whatever evicted ones those need in turn."""
    wanted: set[str] = set()
    closure = set(void)
    for name in reversed(list(graph.tasks)):
        if name in closure or name in wanted:
            needs = {need.task for need in graph.tasks[name].needs}
            wanted |= {need for need in needs if need in evicted and need not in closure}
    return tuple(name for name in graph.tasks if name in wanted)
