"""Segments: the cross-faded, encoded piece of the film that one chunk owns."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from actors.media.boxes import read_movie
from actors.media.codecs import encoder_options, frame_ticks, rate_text, time_scale
from actors.media.ffmpeg import find_ffmpeg
from actors.media.process import Call, compile_command, refused, run
from jobs.errors import BadOutput, StageBug, StageError
from jobs.formats import CODECS
from jobs.frames import exact_rate

if TYPE_CHECKING:
    from jobs.planning.params import SegmentParams

BLOCK_BYTES = 1 << 17
"""Samples blended at a time: small enough that the 16-bit sums stay in the processor's cache."""

Frames = np.ndarray | Iterable[np.ndarray]


def crossfade(head: np.ndarray, tail: np.ndarray) -> np.ndarray:
    """Blend the first frames of a chunk with the last frames of the one before it.

    `head` (new) and `tail` (old) are uint8 `[n, H, W, 3]` and show the same n moments. Frame j of the result
    is `((j + 1) head + (n - j) tail) / (n + 1)` in whole numbers, rounded half up: the same on every machine.
    """
    if head.shape != tail.shape or head.dtype != np.uint8 or tail.dtype != np.uint8:
        raise StageBug(
            f"cannot cross-fade {head.dtype} {head.shape} with {tail.dtype} {tail.shape}; report this"
        )
    count = len(head)
    faded = np.empty(head.shape, np.uint8)
    wide = np.uint16 if 255 * (count + 1) + (count + 1) // 2 <= 0xFFFF else np.uint32
    for j in range(count):
        _blend(head[j], tail[j], (j + 1, count - j), wide, faded[j])
    return faded


def _blend(
    new: np.ndarray,
    old: np.ndarray,
    weights: tuple[int, int],
    wide: type[np.unsignedinteger],
    out: np.ndarray,
) -> None:
    total = wide(sum(weights))
    new_weight, old_weight, half = wide(weights[0]), wide(weights[1]), wide(sum(weights) // 2)
    flat_new, flat_old, flat_out = np.ravel(new), np.ravel(old), out.reshape(-1)
    for start in range(0, flat_out.size, BLOCK_BYTES):
        here = slice(start, start + BLOCK_BYTES)
        mixed = flat_new[here].astype(wide)
        mixed *= new_weight
        mixed += half
        older = flat_old[here].astype(wide)
        older *= old_weight
        mixed += older
        mixed //= total
        flat_out[here] = mixed


def encode_segment(
    frames: Frames, params: SegmentParams, out: Path, sound: tuple[np.ndarray, int] | None = None
) -> Path:
    """Encode frames, uint8 RGB `[F, H, W, 3]` or blocks of that shape in order, into the segment `out`.

    Pass blocks, for example the cross-faded head and a view of the rest, and nothing is copied. `sound` is
    float32 `[channels, samples]` with its sample rate and is kept unaltered beside the pictures. A segment of
    no frames is an empty file. Raises BadOutput when frames do not match `params`, StorageProblem when the
    disk refuses.
    """
    if params.owned_frames == 0:
        out.write_bytes(b"")
        return out
    find_ffmpeg().require(CODECS[params.codec].encoder)
    raw_bytes = params.owned_frames * params.width * params.height
    call = Call("encode a segment", writes=out, need_bytes=int(raw_bytes * CODECS[params.codec].pixel_bytes))
    try:
        with tempfile.TemporaryDirectory(prefix=".sound-", dir=out.parent) as folder:
            command = segment_command(params, out, _store_sound(sound, Path(folder)))
            run(command, call, _pieces(frames, params))
        verify_segment(out, params)
    except (OSError, StageError) as error:
        out.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise refused(error, call) from error
        raise
    return out


def segment_command(params: SegmentParams, out: Path, sound: tuple[Path, int, int] | None) -> list[str]:
    """Command line that reads raw RGB frames from its standard input; `sound` is (file, rate, channels)."""
    import ffmpeg

    pictures = ffmpeg.input(
        "pipe:",
        format="rawvideo",
        pixel_format="rgb24",
        video_size=(params.width, params.height),
        framerate=rate_text(exact_rate(params.frame_rate)),
        threads=1,
    )
    inputs = [pictures.video]
    options = {**encoder_options(params), "f": "mov"}
    if sound:
        path, sample_rate, channels = sound
        inputs.append(
            ffmpeg.input(str(path), format="f32le", sample_rate=sample_rate, ch_layout=f"{channels}c")
        )
        options["c:a"] = "pcm_f32le"
    return compile_command(ffmpeg.output(*inputs, str(out), **options))


def verify_segment(path: Path, params: SegmentParams) -> None:
    """Raise BadOutput unless `path` holds exactly the owned frames, equally long, in display order."""
    track = read_movie(path).track("vide")
    if track is None:
        raise BadOutput(f"{path} holds no pictures; render it again")
    wanted = (params.owned_frames * frame_ticks(params.frame_rate), time_scale(params.frame_rate))
    if track.samples != params.owned_frames or track.reordered:
        raise BadOutput(f"{path} holds {track.samples} frames, not {params.owned_frames}; render it again")
    if (sum(count * ticks for count, ticks in track.durations), track.timescale) != wanted:
        raise BadOutput(f"{path} does not run at {params.frame_rate} frames per second; render it again")


def _pieces(frames: Frames, params: SegmentParams) -> Iterator[memoryview]:
    size = (params.height, params.width, 3)
    fed = 0
    for block in [frames] if isinstance(frames, np.ndarray) else frames:
        if block.dtype != np.uint8 or block.shape[1:] != size:
            raise BadOutput(f"frames are {block.dtype} {block.shape[1:]}, not uint8 {size}; report this")
        fed += len(block)
        if len(block):
            yield np.ascontiguousarray(block).data.cast("B")
        del block
    if fed != params.owned_frames:
        raise BadOutput(f"{fed} frames came for a segment of {params.owned_frames}; render the chunk again")


def _store_sound(sound: tuple[np.ndarray, int] | None, folder: Path) -> tuple[Path, int, int] | None:
    """Put samples where ffmpeg can read them: (file, rate, channels)."""
    if sound is None:
        return None
    samples, sample_rate = sound
    path = folder / "samples.f32"
    path.write_bytes(np.ascontiguousarray(samples.T, dtype="<f4").tobytes())
    return path, sample_rate, len(samples)
