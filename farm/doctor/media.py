"""ffmpeg and the encoders that films need."""

from __future__ import annotations

from collections.abc import Iterator

from actors.media.ffmpeg import find_ffmpeg
from farm.doctor.finding import Finding, fail, ok, warn
from jobs.errors import MissingFFmpeg
from jobs.formats import usual_codec
from jobs.spec import Output

ENCODERS = {"h264": "libx264", "hevc": "libx265", "prores": "prores_ks", "ffv1": "ffv1", "png": "png"}
INSTALL = "install an ffmpeg with that encoder, or point FARM_FFMPEG at one"


def check_media(output: Output | None) -> Iterator[Finding]:
    """The binary, and the encoder that the spec's codec needs (without a spec: all of them)."""
    try:
        ffmpeg = find_ffmpeg()
    except MissingFFmpeg as error:
        yield fail("ffmpeg", str(error), "pip install imageio-ffmpeg, or set FARM_FFMPEG")
        return
    yield ok("ffmpeg", f"{ffmpeg.version} at {ffmpeg.path}")
    wanted = output and (output.codec or usual_codec(output.container))
    for codec, encoder in ENCODERS.items():
        if encoder not in ffmpeg.encoders and wanted in (None, codec):
            message = f"this build has no {encoder}, which {codec} films need"
            yield fail("codecs", message, INSTALL) if wanted else warn("codecs", message, INSTALL)
