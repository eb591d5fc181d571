"""Segment: the encoded piece of the film that one chunk owns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from actors.media.segment import crossfade, encode_segment
from actors.steps.decode import FIRST_FRAME_KEY
from actors.steps.retakes import spliced_frames, spliced_sound
from actors.steps.roles import only
from actors.steps.sound import SoundSamples
from jobs.errors import StageBug
from jobs.formats import CODECS
from jobs.frames import Span

if TYPE_CHECKING:
    import numpy as np

    from actors.payload import Payload
    from jobs.planning.params import SegmentParams, StageParams
    from jobs.planning.retakes.params import Splice


def segment(params: StageParams, inputs: Mapping[str, Sequence[Payload]], scratch: Path) -> Path:
    """A closed-GOP media file of `owned_frames` frames; an empty file where the chunk owns none.

    Roles: `frames` (this chunk's decode) and, where `fade_frames` > 0, `previous` (the decode before it); of
    a retake `source`, the frames in whose place they are put.
    """
    params = cast("SegmentParams", params)
    out = scratch / f"segment{CODECS[params.codec].segment_suffix}"
    if params.owned_frames == 0:
        return encode_segment([], params, out)
    own, previous = inputs["frames"][0], only(inputs, "previous")
    if params.fade_frames and previous is None:
        raise StageBug("a segment with a cross-fade needs the decode before it; report this")
    if params.splice is not None:
        return _spliced(params, params.splice, own, inputs["source"][0], out)
    return encode_segment(owned_blocks(params, own, previous), params, out, _sound(params, own, previous))


def _spliced(params: SegmentParams, splice: Splice, own: Payload, source: Payload, out: Path) -> Path:
    frames = spliced_frames(splice, own["frames"], source["frames"])
    sound = spliced_sound(splice, own, source, params.frame_rate) if params.audio else None
    return encode_segment(frames, params, out, sound)


def owned_blocks(params: SegmentParams, own: Payload, previous: Payload | None) -> list[np.ndarray]:
    """The owned frames, uint8 `[F, H, W, 3]`, in blocks, so that only the cross-faded head is copied."""
    frames, fade = own["frames"], params.fade_frames
    rest = frames[fade : params.owned_frames]
    if not fade or previous is None:
        return [rest]
    return [crossfade(frames[:fade], previous["frames"][-fade:]), rest]


def _sound(params: SegmentParams, own: Payload, previous: Payload | None) -> tuple[np.ndarray, int] | None:
    if not params.audio:
        return None
    sound = SoundSamples.of_payload(own)
    if previous is not None:
        sound = sound.faded_in(SoundSamples.of_payload(previous))
    first = int(own.meta[FIRST_FRAME_KEY])
    owned = sound.cut(Span(first, first + params.owned_frames), params.frame_rate)
    return owned.samples, owned.rate
