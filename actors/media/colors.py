"""HDR pictures, which the model never saw: tone-mapped to BT.709.

PQ and HLG are made linear with 203 nits, the diffuse white of BT.2408, as 1, brought to BT.709 primaries and
compressed by the Moebius curve: up to `KNEE` nothing changes, and `PEAK` (1,000 nits) becomes white.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from actors.media.ffmpeg import REMEDY, find_ffmpeg
from jobs.errors import InvalidInput

HDR_CURVES = {"smpte2084": "PQ", "arib-std-b67": "HLG"}
"""Transfer curves of HDR as ffmpeg names them, and as people do."""
FILTERS = ("zscale", "tonemap")
WHITE_NITS = 203
PEAK = 1000 / WHITE_NITS
KNEE = 0.5


def require_tone_mapping(path: str | Path) -> None:
    """Raise InvalidInput where this ffmpeg cannot map the HDR picture at `path`."""
    binary = find_ffmpeg()
    lacking = [name for name in FILTERS if name not in binary.filters]
    if lacking:
        raise InvalidInput(
            f"{path} is HDR, and {binary.path} ({binary.version}) lacks {' and '.join(lacking)}, which map "
            f"it; convert it to BT.709 first, or {REMEDY}"
        )


def tone_mapped(video: Any, curve: str) -> Any:
    """ffmpeg-python stream of `video`, 16-bit RGB of BT.2020 in `curve`, as 8-bit RGB of BT.709."""
    source = {"transferin": curve, "primariesin": "bt2020", "matrixin": "gbr", "rangein": "full"}
    video = video.filter("zscale", transfer="linear", npl=WHITE_NITS, matrix="gbr", range="full", **source)
    video = video.filter("format", "gbrpf32le").filter("zscale", primaries="bt709")
    video = video.filter("tonemap", "mobius", param=KNEE, desat=0, peak=f"{PEAK:.6f}")
    return video.filter("zscale", transfer="bt709", dither="none").filter("format", "gbrp")
