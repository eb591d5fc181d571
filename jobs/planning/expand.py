"""From the spec as written to chunks as rendered: matrix, defaults, placeholders and repetitions unrolled."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from jobs.frames import TEMPORAL, frames_of, latents_of
from jobs.places import Location, place_of
from jobs.planning.held import HeldJoint, held_joint
from jobs.planning.output_names import film_name
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.planning.shots import ShotLayout
from jobs.spec.chunk import Chunk, CommonSettings, Defaults, Extend, Generate
from jobs.spec.video import Video

if TYPE_CHECKING:
    from jobs.spec.chunk import Guider
    from jobs.spec.job import JobSpec
    from jobs.spec.output import Output

LONGEST_WORD = 24
"""Characters of a matrix value that still stands in a name as it is."""

Combination = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Variant:
    """One video of the job: a video of the spec with one combination of the matrix."""

    index: int
    name: str
    video: Video
    defaults: Defaults
    combination: tuple[tuple[str, str], ...]
    words: Mapping[str, str]

    @property
    def place(self) -> str:
        """Where the spec says so."""
        return f"videos[{self.index}]"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height before upscaling, pixels."""
        return self.video.width or self.defaults.width, self.video.height or self.defaults.height

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.video.frame_rate or self.defaults.frame_rate

    def fill(self, text: str) -> str:
        """The text with each `{placeholder}` of the matrix replaced by its word."""
        for key, word in self.words.items():
            text = text.replace("{" + key + "}", word)
        return text


@dataclass(frozen=True, slots=True)
class PlacedChunk:
    """A chunk of a film's explicit form, with the places of the spec that say so: its own, those of its
    prompt and of each of its `images`."""

    chunk: Chunk
    here: Location
    prompt: Location
    images: tuple[Location, ...]


@dataclass(frozen=True)
class Step:
    """One chunk as rendered, in latents. `shot_key` names the shot for seeds; `repetition` counts from 0.

    `meets` is what it and the chunk before it hold; the overlap is then slot 0 alone, which that fills.
    """

    kind: Literal["generate", "extend", "source"]
    place: str
    settings: Generate | Extend
    overlap: int
    new: int
    shot: int
    shot_key: str
    index_in_shot: int
    repetition: int = 0
    meets: HeldJoint | None = None


def variants(spec: JobSpec) -> Iterator[Variant]:
    """Every video of the job, in spec order, combinations in the order of the matrix."""
    following = dict(itertools.pairwise(spec.matrix))
    suffixes = {key: _suffixes(key, values, following.get(key, "")) for key, values in spec.matrix.items()}
    for index, video in enumerate(spec.videos):
        for picks in itertools.product(*(range(len(values)) for values in spec.matrix.values())):
            combination = tuple(
                (key, spec.matrix[key][pick]) for key, pick in zip(spec.matrix, picks, strict=True)
            )
            name = "-".join(
                [video.name, *(suffixes[key][pick] for key, pick in zip(spec.matrix, picks, strict=True))]
            )
            yield _variant(index, name, video, spec.defaults, combination)


def _variant(index: int, name: str, video: Video, defaults: Defaults, combination: Combination) -> Variant:
    known = {key: value for key, value in combination if key in Defaults.model_fields}
    words = {key: str(value) for key, value in combination if key not in known}
    if known:
        defaults = Defaults.model_validate({**defaults.model_dump(exclude_unset=True), **known})
    return Variant(
        index, name, video, defaults, tuple((key, str(value)) for key, value in combination), words
    )


def film_names(variant: Variant, output: Output) -> tuple[str, ...]:
    """The names of a video's deliveries inside the output folder."""
    return tuple(film_name(form, variant.name, variant.defaults.seed) for form in output.formats)


def _suffixes(key: str, values: Sequence[Any], next_key: str) -> list[str]:
    """What each value adds to the name: `mood-calm`, or `mood_2` for the second value where that is no word.

    No two combinations spell one name: a word has no underscore, so it is no number, and it does not hold
    the key that follows, so what is one value's and what the next one's is never in doubt.
    """
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", str(value)[:200]).strip("-.").lower() for value in values]
    counts = Counter(words)
    return [
        f"{key}-{word}"
        if 0 < len(word) <= LONGEST_WORD and counts[word] == 1 and next_key.lower() not in word.split("-")
        else f"{key}_{number}"
        for number, word in enumerate(words, 1)
    ]


def setting(chunk: CommonSettings, defaults: Defaults, field: str) -> Any:
    """The chunk's own value where it has one, else the default."""
    return getattr(chunk if field in chunk.model_fields_set else defaults, field)


def sampling_of(settings: CommonSettings, defaults: Defaults) -> Sampling:
    """How a chunk is sampled."""
    pick = partial(setting, settings, defaults)
    return Sampling(
        steps=pick("steps"),
        cfg=pick("cfg"),
        sampler=pick("sampler"),
        sigmas=pick("sigmas"),
        guider=guider_of(pick("guider")),
        max_shift=pick("max_shift"),
        base_shift=pick("base_shift"),
    )


def guider_of(guider: Guider) -> PlannedGuider:
    return PlannedGuider(guider.name, tuple(sorted(guider.params.items())))


def placed_chunks(variant: Variant) -> tuple[PlacedChunk, ...]:
    """The chunks of a film: those of the spec, or what its shots are made of."""
    video: Location = ("videos", variant.index)
    if not variant.video.shots:
        return tuple(_placed(video, index, chunk) for index, chunk in enumerate(variant.video.chunks))
    return tuple(
        PlacedChunk(
            made.chunk,
            (*video, "shots", index),
            (*video, "shots", index, *(("beats", made.beat) if made.beat is not None else ()), "prompt"),
            tuple((*video, "shots", index, "images", image) for image in made.images),
        )
        for index, layout in enumerate(layouts(variant))
        for made in layout.chunks()
    )


def layouts(variant: Variant) -> Iterator[ShotLayout]:
    """Each shot of a film on the grid of its latents."""
    for shot in variant.video.shots:
        yield ShotLayout(shot, variant.defaults, variant.frame_rate)


def _placed(video: Location, index: int, chunk: Chunk) -> PlacedChunk:
    here = (*video, "chunks", index, "generate" if chunk.generate else "extend")
    images = tuple((*here, "images", image) for image in range(len(chunk.settings.images)))
    return PlacedChunk(chunk, here, (*here, "prompt"), images)


def own_frames(chunk: Chunk, defaults: Defaults) -> int:
    """Frames that a chunk adds each time."""
    return int(setting(chunk.settings, defaults, "num_frames" if chunk.generate else "num_new_frames"))


def steps(variant: Variant, source_latents: int | None) -> Iterator[Step]:
    """The chunks of one video, the source first; `source_latents` is its length, None without a source."""
    shots = _ShotNames()
    shot = place_in_shot = 0
    key = ""
    held: HeldJoint | None = None
    if source_latents is not None and variant.video.source is not None:
        key = shots.key("source")
        yield Step("source", f"{variant.place}.source", Generate(), 0, source_latents, 0, key, 0)
        place_in_shot = 1
    for placed in placed_chunks(variant):
        chunk = placed.chunk
        if chunk.generate is not None:
            shot += 1 if key else 0
            key, place_in_shot = shots.key(_shot_name(chunk.generate, variant.defaults)), 0
        for kind, settings, overlap, new, repetition in _unroll(chunk, variant.defaults):
            place = place_of(placed.here)
            meets = held if kind == "extend" else None
            shared = 1 if meets else overlap
            yield Step(kind, place, settings, shared, new, shot, key, place_in_shot, repetition, meets)
            held = held_joint(settings.images, frames_of(new) if kind == "generate" else TEMPORAL * new)
            place_in_shot += 1


class _ShotNames:
    """Numbers shots of the same name, so that no two shots share their seeds."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    def key(self, name: str) -> str:
        self._seen[name] += 1
        return name if self._seen[name] == 1 else f"{name}#{self._seen[name]}"


def _shot_name(chunk: Generate, defaults: Defaults) -> str:
    if chunk.shot is not None:
        return f"shot:{chunk.shot}"
    return f"prompt:{setting(chunk, defaults, 'prompt') or ''}"


def _unroll(
    chunk: Chunk, defaults: Defaults
) -> Iterator[tuple[Literal["generate", "extend"], Generate | Extend, int, int, int]]:
    if chunk.generate is not None:
        new = latents_of(setting(chunk.generate, defaults, "num_frames"))
        yield "generate", chunk.generate, 0, new, 0
    if chunk.extend is not None:
        overlap = setting(chunk.extend, defaults, "overlap_frames") // TEMPORAL
        new = setting(chunk.extend, defaults, "num_new_frames") // TEMPORAL
        for repetition in range(chunk.extend.repeat):
            yield "extend", chunk.extend, overlap, new, repetition
