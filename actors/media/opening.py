"""How files of users are opened: formats by allow-list, from local disks alone, and no larger than a bound.

ffmpeg guesses a format from the content, whatever the name says. Playlists (HLS, ffconcat) would pull in
other files, which no digest covers, text is drawn as video by the terminal demuxer, and Pillow hands EPS
files to Ghostscript, which runs them as programs.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF")
"""Formats as Pillow names them."""

DEMUXERS = (
    # Containers that hold all their data themselves.
    *("mov", "matroska", "webm", "avi", "mpeg", "mpegts", "flv", "asf", "mxf", "ogg", "nut", "ivf"),
    *("gif", "apng"),
    # Streams of one codec.
    *("h264", "hevc", "av1", "obu", "m4v", "mpegvideo", "mjpeg", "yuv4mpegpipe", "dv"),
    # Sound.
    *("wav", "w64", "aiff", "caf", "au", "flac", "mp3", "aac", "ac3", "eac3", "wv"),
)  # fmt: skip
"""Formats as ffmpeg names them."""

MAX_PIXELS = 36_000_000
"""Pixels of an image, a little more than 8K."""

MAX_WEBP_PIXELS = 12_000_000
"""Pillow holds such an image in four copies."""
MAX_VIDEO_PIXELS = 10_000_000
"""Pixels of a frame, a little more than 4K: decoders keep as many as seventeen."""
MOVIES = "mp4, mov, mkv, webm, avi, mpg, ts and others that hold their own data"
REFUSED = re.compile(r"Format not on whitelist")


def media_input(path: str | Path, **options: Any) -> Any:
    """An ffmpeg-python input of the user's file at `path`, which follows no reference to another file."""
    import ffmpeg

    # An absolute path starts with a slash, so that nothing in it is taken for a protocol.
    absolute = str(Path(path).absolute())
    guarded = {"protocol_whitelist": "file", "format_whitelist": ",".join(DEMUXERS)}
    return ffmpeg.input(absolute, **guarded, **options)


def refused_format(path: Path) -> InvalidInput:
    """The error for a file whose format is not on the list."""
    return InvalidInput(
        f"{path} is a playlist, a still or of another format that is not read; name a file of one of these: "
        f"{MOVIES}"
    )


def require_size(path: str | Path, width: int, height: int, most: int = MAX_PIXELS) -> None:
    """Raise InvalidInput for pictures of more than `most` pixels; asked before anything is decoded."""
    if width * height > most:
        raise InvalidInput(
            f"{path} has {width}x{height} pixels, {width * height / 1e6:.0f} million, and "
            f"{most // 10**6} million are read at most; scale it down first"
        )


@contextmanager
def open_image(path: str | Path) -> Iterator[Image]:
    """The image at `path`, of which only the header is read yet.

    Raises what Pillow raises, and InvalidInput for one of too many pixels.
    """
    from PIL import Image

    # Pillow leaves a file open that cannot be read to its first bytes.
    with Path(path).open("rb") as file, warnings.catch_warnings():
        # The bound of the farm is lower than the one that Pillow warns of.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(file, formats=IMAGE_FORMATS) as opened:
            require_size(path, *opened.size, MAX_WEBP_PIXELS if opened.format == "WEBP" else MAX_PIXELS)
            yield opened
