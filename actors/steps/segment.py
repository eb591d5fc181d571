"""Segment: the encoded piece of the film that one chunk owns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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

    Roles: `frames` (this chunk's decode, or those of its windows in order, of which only one at a time is
    held here) and, where `fade_frames` > 0, `previous` (the decode before it); of a retake `source`, the
    frames in whose place they are put.
    """
    params = cast("SegmentParams", params)
    out = scratch / f"segment{CODECS[params.codec].segment_suffix}"
    if params.owned_frames == 0:
        return encode_segment([], params, out)
    previous = only(inputs, "previous")
    if params.fade_frames and previous is None:
        raise StageBug("a segment with a cross-fade needs the decode before it; report this")
    if params.splice is not None:
        return _spliced(params, params.splice, inputs["frames"][0], inputs["source"][0], out)
    blocks, sound = _frames_and_sound(params, inputs["frames"], previous)
    return encode_segment(blocks, params, out, sound)


def _spliced(params: SegmentParams, splice: Splice, own: Payload, source: Payload, out: Path) -> Path:
    frames = spliced_frames(splice, own["frames"], source["frames"])
    sound = spliced_sound(splice, own, source, params.frame_rate) if params.audio else None
    return encode_segment(frames, params, out, sound)


def _frames_and_sound(
    params: SegmentParams, windows: Sequence[Payload], previous: Payload | None
) -> tuple[Iterator[np.ndarray], tuple[np.ndarray, int] | None]:
    """The owned frames in blocks, and the sound, which the first window has for all of them."""
    rest = iter(windows)
    first = next(rest)
    return owned_blocks(params, _led_by(first, rest), previous), _sound(params, first, previous)


def _led_by(first: Payload, rest: Iterator[Payload]) -> Iterator[Payload]:
    yield first
    del first
    yield from rest


def owned_blocks(
    params: SegmentParams, windows: Iterable[Payload], previous: Payload | None
) -> Iterator[np.ndarray]:
    """The owned frames, uint8 `[F, H, W, 3]`, in blocks, so that only the cross-faded head is copied, and of
    several windows only one is held at a time."""
    left, fade = params.owned_frames, params.fade_frames
    for window in windows:
        frames = window["frames"][:left]
        left -= len(frames)
        if fade and previous is not None:
            yield crossfade(frames[:fade], previous["frames"][-fade:])
            frames, fade = frames[fade:], 0
        # Nothing here may hold these frames while the next are read.
        del window
        yield frames
        del frames


def _sound(params: SegmentParams, own: Payload, previous: Payload | None) -> tuple[np.ndarray, int] | None:
    if not params.audio:
        return None
    sound = SoundSamples.of_payload(own)
    if previous is not None:
        sound = sound.faded_in(SoundSamples.of_payload(previous))
    first = int(own.meta[FIRST_FRAME_KEY])
    owned = sound.cut(Span(first, first + params.owned_frames), params.frame_rate)
    return owned.samples, owned.rate
