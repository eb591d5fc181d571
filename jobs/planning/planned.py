"""What a plan is made of. `jobs.planning.plan` makes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from jobs.frames import ChunkSpan, DecodeWindow, Joint, Span
from jobs.planning.output_names import shown_format
from jobs.planning.sampling import Sampling
from jobs.sound.planned import PlannedSound
from jobs.spec.base import Fit
from jobs.spec.engine import EngineConfig, ShotLora
from jobs.spec.output import FilmFormat, Output
from jobs.spec.run import Decode, Run


@dataclass(frozen=True, slots=True)
class ClipCut:
    """Which part of a video is held: the last `latents` of `frames` frames after `skip_frames`."""

    frames: int
    skip_frames: int
    latents: int


@dataclass(frozen=True, slots=True)
class PlannedGuide:
    """A guide image of one chunk, or a held clip; `frame` counts from the sampled clip's first frame."""

    path: str
    frame: int
    strength: float
    image_strength: float
    crf: int
    clip: ClipCut | None = None
    fit: Fit = "crop"


@dataclass(frozen=True, slots=True)
class PlannedReference:
    """What a chunk's first pass looks at, `scale` times smaller than the film: an image, or the first
    `frames` of a video."""

    path: str
    scale: int
    strength: float
    attention: float
    frames: int | None = None
    fit: Fit = "crop"


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """Existing material that stands as a chunk: `frames` frames after `skip_frames`, at the video's rate. Its
    sound, if any, starts `sound_start_s` after its first frame."""

    kind: Literal["video", "latent"]
    path: str
    frames: int
    skip_frames: int
    sound_start_s: float = 0.0
    fit: Fit = "crop"


@dataclass(frozen=True, slots=True)
class HeardSound:
    """What a chunk's sampled clip hears: `samples` of a file at `sample_rate`, silence around its own."""

    path: str
    samples: Span
    sample_rate: int


@dataclass(frozen=True, slots=True)
class PlannedRetake:
    """A part of a source that is made anew. The frames `asked` for are widened to the latents `made`; `clip`
    are those that are sampled together. `shown` are the latents of which the chunk owns the frames: where
    they reach beyond those made, frames fade from the source's to the chunk's own and back."""

    asked: Span
    made: Span
    clip: Span
    shown: Span
    picture: bool
    sound: bool


@dataclass(frozen=True, slots=True)
class PlannedChunk:
    """One chunk. `span` and `window` count the shot's latents, `owned` the film's frames.

    `fade_frames` at the head of `owned` are cross-faded with the chunk before (0 at the head of a shot and
    with lagging decode). `audio` are the samples of the film's track that the sampled clip hears.
    `place` is where the spec says so. `joint` is what the chunk shares with the one before it in its shot: an
    overlap, or a `still` (or clip) that both hold, for which neither waits. A `kept` one is a part of a
    source as its file has it, a `retake` one that is made anew: a clip of its own, whose latents `window`
    counts.
    """

    video: str
    index: int
    shot: int
    index_in_shot: int
    kind: Literal["generate", "extend", "source", "kept", "retake"]
    place: str
    span: ChunkSpan
    window: DecodeWindow
    owned: Span
    fade_frames: int
    prompt: str
    negative: str
    seed: int
    upscale_seed: int
    decode_seed: int
    sampling: Sampling
    guides: tuple[PlannedGuide, ...]
    overlap_strength: float
    attention_mode: str
    ffn_chunks: int
    source: PlannedSource | None = None
    sound: Literal["condition", "generate"] | None = None
    heard: HeardSound | None = None
    joint: Literal["overlap", "still"] = "overlap"
    references: tuple[PlannedReference, ...] = ()
    retake: PlannedRetake | None = None
    loras: tuple[ShotLora, ...] = ()

    @property
    def is_sampled(self) -> bool:
        """Whether the model makes any of it."""
        return self.kind not in ("source", "kept")

    @property
    def continues(self) -> bool:
        """Whether it is made from what the chunk before it became."""
        return self.kind == "extend" and self.joint == "overlap"


@dataclass(frozen=True, slots=True)
class PlannedTake:
    """Take `number`, from 1, of the shot `name` of a film, which is its shot number `shot`. The one that is
    `picked` is in the film."""

    video: str
    shot: int
    name: str
    number: int
    picked: bool


@dataclass(frozen=True, slots=True)
class PlannedVideo:
    """One film: `width` x `height` as delivered, `base_width` x `base_height` as sampled (pixels).

    `output` is the film's name inside the output folder, `more_outputs` are those of its further deliveries;
    `combination` are the matrix values that made it. `snaps`
    are the times of its shots that became other ones, a text for each shot, `shots` the names of all, empty
    where one has none.
    A film of one `take` of a shot has that alone, and one delivery. A draft names the video that it is
    the `draft_of`; it has no second pass, and one delivery.
    """

    name: str
    chunks: tuple[PlannedChunk, ...]
    frames: int
    width: int
    height: int
    base_width: int
    base_height: int
    frame_rate: float
    output: str
    combination: tuple[tuple[str, str], ...] = ()
    draft_of: str = ""
    snaps: tuple[str, ...] = ()
    more_outputs: tuple[str, ...] = ()
    shots: tuple[str, ...] = ()
    sound: PlannedSound | None = None
    take: PlannedTake | None = None
    temporal: int = 1

    @property
    def base_rate(self) -> float:
        """Frames per second of the passes: temporal rounds make `temporal` frames of each of theirs."""
        return self.frame_rate / self.temporal if self.temporal > 1 else self.frame_rate

    @property
    def film(self) -> str:
        """The video of the spec whose chunks these are."""
        return self.take.video if self.take else self.draft_of or self.name

    def shot_name(self, number: int) -> str:
        """As the film's chapters and timeline call it: those without a name are numbered from 1."""
        named = self.shots[number] if number < len(self.shots) else ""
        return named or f"shot {number + 1}"

    @property
    def draft(self) -> bool:
        """Whether its first pass is all of it."""
        return bool(self.draft_of)

    @property
    def own(self) -> bool:
        """Whether its chunks are not those of a film beside it, as a draft's are."""
        return self.take is not None or not self.draft

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of all its deliveries."""
        return self.output, *self.more_outputs

    @property
    def stems(self) -> tuple[str, ...]:
        """The tracks that are delivered beside it."""
        wanted = self.sound is not None and self.sound.stems and not self.draft
        return tuple(track.name for track in self.sound.tracks) if self.sound and wanted else ()

    @property
    def seconds(self) -> float:
        """Running time."""
        return self.frames / self.frame_rate


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """One form in which a video is delivered, and its name inside the output folder."""

    name: str
    format: FilmFormat


@dataclass(frozen=True, slots=True)
class UpscalePlan:
    """The upscale stage of the whole job: `spatial` times the width and height, `temporal` times the frame
    rate."""

    sampling: Sampling
    joint: Joint
    spatial: float = 2.0
    adain: float = 0.0
    tone_map: float = 0.0
    temporal: int = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything a job will do. `resolved` freezes what the spec calls `auto`, once, by name; `recipe` names
    where values came from, which are all in the plan. `created` is the day of the job's first render, empty
    before it is known."""

    job: str
    videos: tuple[PlannedVideo, ...]
    engine: EngineConfig
    upscale: UpscalePlan | None
    decode: Decode
    output: Output
    run: Run
    resolved: tuple[tuple[str, str], ...] = ()
    recipe: str | None = None
    created: str = ""

    @property
    def films(self) -> tuple[PlannedVideo, ...]:
        """The videos of the spec: all but those of takes and drafts."""
        return tuple(video for video in self.videos if video.take is None and not video.draft)

    @property
    def temporal(self) -> int:
        """How many frames of a film temporal rounds make of each of its passes."""
        return self.upscale.temporal if self.upscale else 1

    @property
    def frames(self) -> int:
        """Frames of all films together."""
        return sum(video.frames for video in self.videos)

    @property
    def outputs(self) -> tuple[tuple[str, str], ...]:
        """The name of every video, with that of each of its deliveries."""
        return tuple((video.name, output) for video in self.videos for output in video.outputs)

    def deliveries(self, video: PlannedVideo) -> tuple[PlannedDelivery, ...]:
        """Every form in which a video of the plan is delivered."""
        if video.draft:
            form = self.output.formats[0].model_copy(update={"size": None})
            return (PlannedDelivery(video.output, form),)
        if video.take is not None:
            return (PlannedDelivery(video.output, shown_format(self.output.formats)),)
        named = zip(video.outputs, self.output.formats, strict=True)
        return tuple(PlannedDelivery(name, form) for name, form in named)

    def resolve(self, modes: Mapping[str, str]) -> Plan:
        """The plan with `auto` choices frozen, e.g. `{"attention_mode": "default"}`."""
        return replace(self, resolved=tuple(sorted({**dict(self.resolved), **modes}.items())))
