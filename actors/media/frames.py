"""Videos as uint8 RGB arrays of the job's size and rate, and pictures of films."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.media.codecs import png_name, rate_text
from actors.media.colors import tone_mapped
from actors.media.listing import ANYWHERE, SEEKING, begins_afresh
from actors.media.opening import media_input
from actors.media.probe import VideoStream, read_stream
from actors.media.process import Call, compile_command, exchange, read_blocks
from jobs.errors import InvalidInput
from jobs.frames import TEMPORAL, exact_rate, frames_within, source_frame
from jobs.spec.base import Fit

if TYPE_CHECKING:
    from PIL.Image import Image

    from jobs.planning.facts import ClipPart

EXACT_RESIZING = "lanczos+accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
CHECKED_SIDE = 32
ONE_THREAD = ("-threads", "1")
"""Each of a decoder's threads holds frames of its own."""
MOST_CHECKED_FRAMES, MOST_CHECKED_S = 1500, 5.0
"""Frames of a source that are decoded while a spec is checked: a minute of 25 frames a second."""
FINE_TICK_S = Fraction(1, 1_200_000)
"""Every usual rate has a whole number of these in a frame."""
FINE_ENOUGH = Fraction(1, 2)
"""Of a frame: where times are rounded more coarsely, frames are only counted."""
EARLY_S = 10
"""How long before the first wanted frame a source is read from: leading pictures of the key frame there,
which refer to what was left out, are over by then."""
SEEK_AHEAD_FRAMES = Fraction(1, 4)
"""Seeking rounds to the file's ticks, at worst to whole frames: a quarter rounds to the right one."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Which frames of a video are wanted, and how: scaled to cover `width` x `height`, centre-cropped (or
    with `pad` to fit into it, with black bars), brought to `frame_rate`; then `frames` frames after the first
    `skip_frames`."""

    width: int
    height: int
    frame_rate: float
    frames: int
    skip_frames: int = 0
    fit: Fit = "crop"


def read_video(path: str | Path, cut: Cut) -> np.ndarray:
    """Frames of a video, uint8 RGB `[frames, height, width, 3]`.

    Frame f shows what is on screen at time f / frame_rate. Raises InvalidInput when the file cannot be read
    or is too short, StorageProblem when the storage refuses it.
    """
    clip = np.empty((cut.frames, cut.height, cut.width, 3), np.uint8)
    for at, picture in _pictures(Path(path), cut):
        clip[at] = picture
    return clip


def check_clip(path: str | Path, part: ClipPart) -> None:
    """Decode what is used of a video, very small, to see that it can be.

    Of a part that starts at the beginning, no frame may be damaged. At most `MOST_CHECKED_FRAMES` of the
    source are decoded, for `MOST_CHECKED_S` seconds. Raises as `read_video`.
    """
    frames = min(part.frames, MOST_CHECKED_FRAMES - part.skip_frames)
    if frames <= 0:
        return
    until_s = time.monotonic() + MOST_CHECKED_S
    cut = Cut(CHECKED_SIDE, CHECKED_SIDE, part.frame_rate, frames, part.skip_frames)
    options = (*ONE_THREAD, "-xerror") if part.skip_frames < TEMPORAL else ONE_THREAD
    for _ in _pictures(Path(path), cut, options):
        if time.monotonic() > until_s:
            return


def _pictures(path: Path, cut: Cut, options: Sequence[str] = ()) -> Iterator[tuple[int, np.ndarray]]:
    """Each frame of the cut with its number in it; `options` are further ones of ffmpeg."""
    stream = _stream_of(path)
    wanted = _wanted(path, stream, cut)
    at = 0
    for number, picture in _decoded(path, stream, cut, wanted, options):
        while at < len(wanted) and wanted[at] == number:
            yield at, picture
            at += 1
        if at == len(wanted):
            return
    if at < len(wanted):
        raise _too_short(path, at, len(wanted))


def _stream_of(path: Path) -> VideoStream:
    """As `read_stream`, which reads the whole file: once for all cuts of it."""
    try:
        seen = path.stat()
    except OSError:
        return read_stream(path)
    return _read_once(path, (seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns))


@lru_cache(maxsize=16)
def _read_once(path: Path, _: tuple[int, ...]) -> VideoStream:
    return read_stream(path)


def _too_short(path: Path, frames: int, wanted: int) -> InvalidInput:
    return InvalidInput(
        f"{path} ends after {frames} of the {wanted} frames that are needed; "
        "name a longer video, or take fewer frames of it"
    )


def _wanted(path: Path, stream: VideoStream, cut: Cut) -> list[int]:
    """Numbers of the frames of the cut as ffmpeg gives them out: those of the source, or, where these are not
    equally long, of the source at the cut's rate."""
    frames = range(cut.skip_frames, cut.skip_frames + cut.frames)
    if not stream.is_constant:
        there = frames_within(stream.seconds, cut.frame_rate)
        if frames.stop > there:
            raise _too_short(path, max(0, there - frames.start), len(frames))
        return list(frames)
    return [source_frame(frame, float(stream.rate), cut.frame_rate) for frame in frames]


def _decoded(
    path: Path, stream: VideoStream, cut: Cut, wanted: list[int], options: Sequence[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Number and pixels of the frames from the first wanted one on."""
    if not wanted:
        return
    size = (cut.height, cut.width, 3)
    command = _read_command(path, stream, cut, wanted[0])
    command[1:1] = options
    blocks = read_blocks(command, Call("read the video", reads=path), int(np.prod(size)))
    for number, block in enumerate(blocks, start=wanted[0]):
        if len(block) < np.prod(size):
            return
        yield number, np.frombuffer(block, np.uint8).reshape(size)


def _read_command(path: Path, stream: VideoStream, cut: Cut, first: int) -> list[str]:
    import ffmpeg

    options: dict[str, Any] = {"c:v": stream.decoder} if stream.decoder else {}
    on_time = stream.tick_s * stream.rate < FINE_ENOUGH
    jump_s = _jump_s(path, stream, cut, first) if on_time else 0
    if jump_s:
        options |= {"ss": jump_s, **SEEKING}
    video = media_input(path, **options)["v:0"]
    if on_time:
        video = _on_time(video, stream, cut.frame_rate)
    if first:
        video = video.filter("select", f"gte(n,{first})")
    video = _conformed(video, stream, cut)
    made = ffmpeg.output(
        video, "pipe:", f="rawvideo", pix_fmt="rgb24", fps_mode="passthrough", filter_threads=1
    )
    return compile_command(made.global_args("-copyts", "-start_at_zero") if jump_s else made)


def _jump_s(path: Path, stream: VideoStream, cut: Cut, first: int) -> int:
    """Where on the file's clock reading begins, seconds; 0 for its start.

    It does so only where the packet there is seen to need nothing before it. Frames keep their times and
    with them their numbers: `_on_time` has the first one that is read stand for all before it, which nobody
    asks for.
    """
    codec = stream.indexed_codec
    if not codec or (stream.transparent and codec not in ANYWHERE):
        # Elsewhere transparency is a stream of its own, whose key frames may be others.
        return 0
    rate = stream.rate if stream.is_constant else exact_rate(cut.frame_rate)
    early_s = math.floor(stream.start_s + first / rate) - EARLY_S
    return early_s if early_s > EARLY_S and begins_afresh(path, codec, early_s) else 0


def _on_time(video: Any, stream: VideoStream, frame_rate: float) -> Any:
    """The stream in equal steps, also where frames are missing.

    One of constant rate keeps its own, each frame at its nearest step. Else frame f is the one on screen at
    f / frame_rate, the last that began by then; a time rounded to a tick may be half of one too late.
    """
    video = video.filter("settb", rate_text(FINE_TICK_S))
    start = round(stream.start_s / FINE_TICK_S)
    if stream.is_constant:
        at = video.filter("setpts", f"PTS-({start})")
        return at.filter("fps", rate_text(stream.rate), round="near", start_time=0)
    slack = math.ceil(max(stream.tick_s / 2, FINE_TICK_S) / FINE_TICK_S)
    at = video.filter("setpts", f"max(PTS-({start})-{slack},0)")
    return at.filter("fps", rate_text(exact_rate(frame_rate)), round="up", start_time=0)


def _conformed(video: Any, stream: VideoStream, cut: Cut) -> Any:
    """The stream as 8-bit RGB of the cut's size, cropped or padded around its centre, over black."""
    width, height, pads = cut.width, cut.height, cut.fit == "pad"
    exact = {"flags": EXACT_RESIZING, "in_color_matrix": stream.matrix}
    if stream.transparent:
        video = video.filter("scale", **exact).filter("format", "gbrap").filter("premultiply", inplace=1)
    if stream.pixel_aspect != 1:
        # Asked of the frame: in a picture that the file says to rotate, width and height have changed places.
        video = video.filter("scale", "trunc(iw*sar+0.001)", "ih").filter("setsar", 1)
    keep = "decrease" if pads else "increase"
    video = video.filter("scale", width, height, force_original_aspect_ratio=keep, **exact)
    video = video.filter("format", "gbrp16le" if stream.hdr else "rgb24")
    if not pads:
        video = video.filter("crop", width, height)
    if stream.hdr:
        video = tone_mapped(video, stream.hdr)
    return video.filter("pad", width, height, "(ow-iw)/2", "(oh-ih)/2", "black") if pads else video


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG file of uint8 RGB `[H, W, 3]`."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def frame_at(film: Path, index: int, frame_rate: float, width: int | None = None) -> bytes:
    """PNG of frame `index` of a film (or folder of PNG files) of constant rate, shrunk to `width` if given.

    Seeks to the key frame before it, so the cost does not grow with the film. Raises InvalidInput when the
    film has no such frame.
    """
    image = _picture(film, index, frame_rate)
    if width and width < image.width:
        image = image.resize((width, max(1, round(image.height * width / image.width))))
    return encode_png(np.asarray(image))


def _picture(film: Path, index: int, frame_rate: float) -> Image:
    from PIL import Image

    if film.is_dir():
        stored = film / png_name(index)
        if not stored.exists():
            raise InvalidInput(f"{film} has no frame {index}; ask for one inside the film")
        with Image.open(stored) as opened:
            return opened.convert("RGB")
    return Image.open(io.BytesIO(_seek_frame(film, index, frame_rate))).convert("RGB")


def _seek_frame(film: Path, index: int, frame_rate: float) -> bytes:
    import ffmpeg

    just_before_s = max(Fraction(0), (index - SEEK_AHEAD_FRAMES) / exact_rate(frame_rate))
    source = ffmpeg.input(str(film), ss=f"{float(just_before_s):.6f}")["v:0"]
    output = ffmpeg.output(
        source, "pipe:", **{"f": "image2pipe", "c:v": "png", "frames:v": 1, "pix_fmt": "rgb24"}
    )
    picture, _ = exchange(compile_command(output), Call("read a frame", reads=film))
    if not picture:
        raise InvalidInput(f"{film} has no frame {index}; ask for one inside the film")
    return picture
