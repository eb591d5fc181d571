"""Encoder settings: ffmpeg's options for each codec, so that equal frames give equal bytes on any machine.

Three things would make bytes differ and are fixed here. Thread counts are always given, because x264 and
x265 write other bytes for other counts and otherwise ask the machine. x265's stream header lists the CPU's
instruction sets and is left out; x264 has to choose the same algorithms on every CPU. The RGB to YUV
conversion uses swscale's exact paths. There are no B-frames: every segment then starts and ends on its own
first and last picture, needs no edit list, and decodes in display order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from jobs.formats import CODECS, PROFILES, USUAL_PROFILE
from jobs.frames import exact_rate

if TYPE_CHECKING:
    from jobs.planning.params import SegmentParams

Options = dict[str, str | int]

KEYFRAME_SECONDS = 2
FFV1_SLICES = 4
PNG_DIGITS, PNG_SUFFIX = 8, ".png"
EXACT_RGB = "accurate_rnd+full_chroma_int+full_chroma_inp+bitexact"
EXACT_SCALING = f"bicubic+{EXACT_RGB}"

BT709: Options = {
    "colorspace": "bt709",
    "color_primaries": "bt709",
    "color_trc": "bt709",
    "color_range": "tv",
}
SRGB: Options = {"color_primaries": "bt709", "color_trc": "iec61966-2-1", "color_range": "pc"}


def encoder_options(params: SegmentParams) -> Options:
    """Output options of ffmpeg for the video stream of a segment."""
    codec = CODECS[params.codec]
    is_rgb = params.pixel_format in ("bgr0", "rgb24", "gbrp")
    return {
        "c:v": codec.encoder,
        "pix_fmt": params.pixel_format,
        "vf": ",".join([*_framed(params), _conversion(params.pixel_format, is_rgb)]),
        "threads": params.encode_threads,
        "filter_threads": 1,
        "flags:v": "+bitexact+cgop",
        "fflags": "+bitexact",
        "map_metadata": -1,
        "video_track_timescale": time_scale(params.frame_rate),
        **_tags(is_rgb),
        **_SETTINGS[params.codec](params),
    }


def time_scale(frame_rate: float) -> int:
    """Ticks per second in which every frame lasts a whole number of ticks."""
    return exact_rate(frame_rate).numerator


def frame_ticks(frame_rate: float) -> int:
    """Ticks of `time_scale` that one frame lasts."""
    return exact_rate(frame_rate).denominator


def rate_text(rate: Fraction) -> str:
    """A frame rate as ffmpeg reads it, `24000/1001`."""
    return f"{rate.numerator}/{rate.denominator}"


def _framed(params: SegmentParams) -> Iterator[str]:
    """Filters that give the frames another size, in RGB: so they are the same in every delivery."""
    framing = params.framing
    if framing is None:
        return
    width, height = framing.scaled_width, framing.scaled_height
    if framing.scaler:
        yield f"scale={width}:{height}:flags={framing.scaler}+{EXACT_RGB}"
        yield "format=rgb24"
    x, y = (framing.width - width) // 2, (framing.height - height) // 2
    if min(x, y) < 0:
        yield f"crop={framing.width}:{framing.height}:{-min(x, 0)}:{-min(y, 0)}"
    elif (width, height) != (framing.width, framing.height):
        yield f"pad={framing.width}:{framing.height}:{x}:{y}:black"


def _conversion(pixel_format: str, is_rgb: bool) -> str:
    """Filters that convert and tag: newer builds take tags from the frames, older ones from the options."""
    tags = ":".join(
        f"{name.replace('color_range', 'range')}={value}" for name, value in _tags(is_rgb).items()
    )
    if is_rgb:
        return f"format={pixel_format},setparams={tags}"
    scale = f"scale=flags={EXACT_SCALING}:out_color_matrix=bt709:out_range=tv"
    return f"{scale},format={pixel_format},setparams={tags}"


def _tags(is_rgb: bool) -> Options:
    return SRGB if is_rgb else BT709


def _keyframe_interval(params: SegmentParams) -> int:
    return max(1, round(KEYFRAME_SECONDS * exact_rate(params.frame_rate)))


def _h264(params: SegmentParams) -> Options:
    return {
        "preset": params.preset,
        "crf": params.crf,
        "bf": 0,
        "g": _keyframe_interval(params),
        "x264-params": "open-gop=0:cpu-independent=1:force-cfr=1",
    }


def _hevc(params: SegmentParams) -> Options:
    threads = params.encode_threads
    fixed = f"pools={threads}:frame-threads={min(threads, 16)}:lookahead-slices=0:lookahead-threads=0"
    return {
        "preset": params.preset,
        "crf": params.crf,
        "tag:v": "hvc1",
        "x265-params": f"{fixed}:wpp=1:bframes=0:open-gop=0:keyint={_keyframe_interval(params)}"
        ":info=0:repeat-headers=0:log-level=error",
    }


def _prores(params: SegmentParams) -> Options:
    return {"profile:v": PROFILES[params.profile or USUAL_PROFILE].number, "vendor": "apl0"}


def _ffv1(_: SegmentParams) -> Options:
    return {"level": 3, "coder": 1, "context": 0, "g": 1, "slices": FFV1_SLICES, "slicecrc": 1}


def _png(_: SegmentParams) -> Options:
    return {"pred": "mixed", "compression_level": 6}


_SETTINGS: dict[str, Callable[[SegmentParams], Options]] = {
    "h264": _h264,
    "hevc": _hevc,
    "prores": _prores,
    "ffv1": _ffv1,
    "png": _png,
}


def png_name(index: int) -> str:
    """File name of frame `index` in a PNG sequence."""
    return f"{index:0{PNG_DIGITS}d}{PNG_SUFFIX}"
