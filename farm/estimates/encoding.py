"""What the encoding of a segment takes beside H.264 with preset `medium`.

Processor time of one core by `python -m benchmarks.segment_throughput --kinds`: the least of two runs of
1080p, 24 frames for presets and 16 for the rest, ffmpeg n9.0.2-17, 2026-12-01, on a machine that others
used, too: HEVC `medium` came to 1.52 and 1.88, of which 1.7 is the mean. The picture moves under a light
grain; a quiet one takes less with the slow presets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.formats import USUAL_PROFILE

if TYPE_CHECKING:
    from jobs.planning.params import SegmentParams

PRESETS: Mapping[str, Mapping[str, float]] = {
    "h264": {
        "ultrafast": 0.16, "veryfast": 0.30, "faster": 0.49, "fast": 0.86, "medium": 1.0, "slow": 2.5,
        "slower": 3.3,
    },
    "hevc": {
        "ultrafast": 0.34, "veryfast": 0.90, "faster": 0.93, "fast": 1.02, "medium": 1.7, "slow": 3.1,
        "slower": 15.0,
    },
}  # fmt: skip
PROFILES: Mapping[str, float] = {"proxy": 0.8, "lt": 1.4, "422": 1.3, "hq": 1.6, "4444": 2.4}
"""Of ProRes."""
LOSSLESS: Mapping[str, float] = {"ffv1": 1.2, "png": 3.9}
PIXEL_FORMATS: Mapping[tuple[str, str], float] = {
    ("hevc", "yuv420p10le"): 1.15,
    ("hevc", "yuv444p"): 1.2,
}
"""Times the usual pixel format of the codec."""


def encoding_share(params: SegmentParams) -> float:
    """How many times as long as H.264 with preset `medium`."""
    if params.codec == "prores":
        return PROFILES[params.profile or USUAL_PROFILE]
    presets = PRESETS.get(params.codec)
    if presets is None:
        return LOSSLESS[params.codec]
    return presets[params.preset] * PIXEL_FORMATS.get((params.codec, params.pixel_format), 1.0)
