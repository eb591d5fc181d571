"""Parameters of stage tasks: everything that can reach a task's bytes, except its inputs and the software."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from jobs.canonical import LATER
from jobs.frames import SPATIAL, ChunkSpan, DecodeWindow, Span
from jobs.planning.retakes.params import PartlyMade, ShowSource, Splice
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.planning.sampling import GuideUse, Sampling
from jobs.spec.base import Fit
from jobs.spec.engine import LoraUse
from jobs.spec.framing import Framing


@dataclass(frozen=True, slots=True)
class Tiles:
    """Temporal tiles of a decode, in latents."""

    tile_latents: int
    overlap_latents: int

    def spans(self, total: int) -> list[tuple[Span, Span]]:
        """Latents decoded and latents kept, per tile of a clip of `total` latents."""
        context = max(1, self.overlap_latents // 2)
        step = max(1, self.tile_latents - 2 * context)
        kept = [Span(start, min(start + step, total)) for start in range(0, total, step)]
        return [(Span(max(0, span.start - context), min(total, span.stop + context)), span) for span in kept]


SMALL_TILES = Tiles(tile_latents=6, overlap_latents=2)
"""What a decode that runs out of memory is tried again in."""

RECORDED_TOKENS = 10_000
"""The most latent tokens of a forward of LTX-2 that is recorded; longer ones keep a GPU busy anyway."""


@dataclass(frozen=True, slots=True)
class EncodeText:
    """A prompt and its negative -> conditioning."""

    prompt: str
    negative: str


@dataclass(frozen=True, slots=True)
class EncodeImage:
    """A guide image, conformed to `width` x `height` by `fit` and sent through H.264 at `crf`, -> one
    latent."""

    path: str
    width: int
    height: int
    crf: int
    fit: Fit = field(default="crop", metadata=LATER)


@dataclass(frozen=True, slots=True)
class EncodeSource:
    """Existing material -> latents.

    A video is conformed to size and `frame_rate`, then `frames` frames are taken after `skip_frames`.
    A latent is cut to its last latents, `frames` frames long. Where the film's sound is generated, that of
    these frames comes along, brought to `sample_rate`: silence where the source has none. It starts
    `sound_start_s` after the source's first frame.
    """

    kind: Literal["video", "latent"]
    path: str
    width: int
    height: int
    frames: int
    frame_rate: float
    skip_frames: int
    sample_rate: int | None = None
    sound_start_s: float = 0.0
    fit: Fit = field(default="crop", metadata=LATER)


@dataclass(frozen=True, slots=True)
class EncodeClip:
    """A held clip -> the last `latents` of `frames` frames after `skip_frames` of a video, conformed to size
    and `frame_rate`."""

    path: str
    width: int
    height: int
    frames: int
    frame_rate: float
    skip_frames: int
    latents: int
    fit: Fit = field(default="crop", metadata=LATER)


@dataclass(frozen=True, slots=True)
class EncodeAudio:
    """Samples `[start, stop)` of a file at `sample_rate`, silence around its own, -> audio latents."""

    path: str
    start_sample: int
    stop_sample: int
    sample_rate: int
    frame_rate: float
    frames: int


@dataclass(frozen=True, slots=True)
class ReferenceUse:
    """A reference beside a sampled clip: `latents` of them, `scale` times smaller than the clip's. Noise
    reaches it but for its `strength`, and the clip looks at it by `attention`."""

    latents: int
    scale: int
    strength: float
    attention: float


@dataclass(frozen=True, slots=True)
class Upsampling:
    """What brings the latents of the pass before to the size of this one, which is `spatial` times theirs.
    `adain` is the share by which mean and spread of each channel are brought back to theirs."""

    adain: float = 0.0
    spatial: float = 2.0


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A clip that waits for no other of its pass: cut out of the chain of the pass before, of which the
    inputs `latents` hold `spans`, in order. Input `own` is the chunk's own, whose sound is heard.

    `stills` are latents of the chain: the last frame that each of them shows is held.
    """

    spans: tuple[Span, ...]
    own: int
    stills: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class PassParams:
    """One pass over a chunk's clip of `width` x `height` pixels: denoised from noise, or where there is an
    `upsampling` from what the pass before made.

    The chain's last `span.overlap` latents stand at the clip's head; the last `replaced` of them neither
    guide nor count in the blend, the new clip takes their place. `audio_mode` says what becomes of the sound:
    `condition` hears a file, `generate` makes it (over that of the pass before), `hold` leaves that alone.

    Of a `retake` only a part is made, from the `source` that it stands in, and the rest is held.

    A clip that is an `excerpt` has no chain. Its noise is that of its shot: `seed` and the number of a latent
    in the shot say which, so neighbours have the same where they show the same.

    `slots` are frames of the clip at which the transformer makes stills beside it. Those of a first pass are
    all that its artifact has as `keyframes`, in order. An upscaled clip with `keyframes` has one at each of
    these frames: a slot, made over that of the first pass, or what is held there. The first pass at its own
    size is a reference beside it; its slot 0 is the last one of input `keyframes`, where that is given.
    """

    width: int
    height: int
    span: ChunkSpan
    frame_rate: float
    seed: int
    sampling: Sampling
    guides: tuple[GuideUse, ...]
    overlap_strength: float
    attention_mode: str
    ffn_chunks: int
    audio_mode: Literal["condition", "generate", "hold"] | None = None
    replaced: int = 0
    upsampling: Upsampling | None = None
    excerpt: Excerpt | None = None
    references: tuple[ReferenceUse, ...] = field(default=(), metadata=LATER)
    retake: PartlyMade | None = field(default=None, metadata=LATER)
    loras: tuple[LoraUse, ...] = field(default=(), metadata=LATER)
    slots: tuple[int, ...] = field(default=(), metadata=LATER)
    keyframes: tuple[int, ...] = field(default=(), metadata=LATER)

    @property
    def which(self) -> Literal["sample", "upscale"]:
        """The pass that it is, by its stage."""
        return "sample" if self.upsampling is None else "upscale"

    @property
    def tokens(self) -> int:
        """Latent tokens of the clip, of the stills beside it and of its references."""
        rows, columns = self.height // SPATIAL, self.width // SPATIAL
        beside = sum(
            each.latents * (rows // each.scale) * (columns // each.scale) for each in self.references
        )
        if self.keyframes and self.upsampling is not None:
            scale = int(self.upsampling.spatial)
            beside += self.span.sampled * (rows // scale) * (columns // scale)
        return (self.span.sampled + len(self.slots)) * rows * columns + beside


@dataclass(frozen=True, slots=True)
class DecodeParams:
    """One decode window; `spans` are the chain latents that each latents input holds, in order. Input `own`
    is that of the chunk itself, whose sound, made for the latents `sound`, is heard in the window.

    Of a film that temporal rounds gave `temporal` times the frames, all of these count its own latents, but
    `sound`, which counts those of the first pass: its sound is that of input `sound`. There a chunk is
    decoded in several windows, and the first one's sound is that of all, which show the latents `heard`.
    """

    width: int
    height: int
    spans: tuple[Span, ...]
    window: DecodeWindow
    seed: int
    frame_rate: float
    tiling: Tiles | None = None
    sound: Span | None = None
    own: int = 0
    timestep: float | None = None
    noise_scale: float | None = None
    tone_map: float = 0.0
    temporal: int = field(default=1, metadata=LATER)
    heard: Span | None = field(default=None, metadata=LATER)


@dataclass(frozen=True, slots=True)
class SegmentParams:
    """One encoded piece of the film: `fade_frames` at its head are cross-faded, `owned_frames` delivered.
    `profile` is empty where it is the codec's usual one, or has none. `framing` makes frames of another size
    of those that come in, which are `width` x `height`. A `splice` puts them into a source."""

    width: int
    height: int
    frame_rate: float
    fade_frames: int
    owned_frames: int
    codec: str
    container: str
    crf: int
    preset: str
    pixel_format: str
    encode_threads: int
    audio: bool = False
    profile: str = field(default="", metadata=LATER)
    framing: Framing | None = field(default=None, metadata=LATER)
    splice: Splice | None = field(default=None, metadata=LATER)


StageParams = (
    EncodeText
    | EncodeImage
    | EncodeSource
    | EncodeClip
    | EncodeAudio
    | PassParams
    | CanvasParams
    | TileParams
    | DecodeParams
    | ShowSource
    | SegmentParams
)
