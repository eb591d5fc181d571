"""Guide images as the model was trained on them: with the marks that video compression leaves.

What ComfyUI's LTXVPreprocess does: one picture through H.264 at a constant rate factor, and back.
"""

from __future__ import annotations

import numpy as np

from actors.media.codecs import EXACT_SCALING
from actors.media.process import Call, compile_command, exchange

MATRIX = "smpte170m"
CALL = Call("compress a guide image")


def compress_image(pixels: np.ndarray, crf: int) -> np.ndarray:
    """`pixels`, uint8 RGB `[H, W, 3]` of even size, after H.264 at `crf`; 0 leaves them as they are."""
    if crf == 0:
        return pixels
    height, width, _ = pixels.shape
    stream, _ = exchange(_encode_command(width, height, crf), CALL, np.ascontiguousarray(pixels).tobytes())
    raw, _ = exchange(_decode_command(), CALL, stream)
    return np.frombuffer(raw, np.uint8).reshape(height, width, 3)


def _encode_command(width: int, height: int, crf: int) -> list[str]:
    import ffmpeg

    picture = ffmpeg.input(
        "pipe:", format="rawvideo", pixel_format="rgb24", video_size=(width, height), framerate=1
    )
    yuv = picture.filter("scale", flags=EXACT_SCALING, out_color_matrix=MATRIX, out_range="tv").filter(
        "format", "yuv420p"
    )
    options = {
        "c:v": "libx264",
        "preset": "veryfast",
        "crf": crf,
        "threads": 1,
        "f": "h264",
        "filter_threads": 1,
    }
    return compile_command(ffmpeg.output(yuv, "pipe:", **options, **{"x264-params": "cpu-independent=1"}))


def _decode_command() -> list[str]:
    import ffmpeg

    rgb = ffmpeg.input("pipe:", format="h264", threads=1).filter(
        "scale", flags=EXACT_SCALING, in_color_matrix=MATRIX, in_range="tv"
    )
    rgb = rgb.filter("format", "rgb24")
    return compile_command(ffmpeg.output(rgb, "pipe:", f="rawvideo", filter_threads=1, **{"frames:v": 1}))
