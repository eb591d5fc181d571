"""The ffmpeg binary: which one, what it can do, and how it is run.

`FARM_FFMPEG` wins, then the system's ffmpeg, then the one in the wheel `imageio-ffmpeg`. Command lines are
lists built by ffmpeg-python; no shell sees them.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib import metadata
from pathlib import Path

from jobs.errors import MissingFFmpeg

OLDEST_MAJOR = 5
"""First release whose mp4 muxer takes `-movie_timescale`, without which edit lists cut to the millisecond."""

REMEDY = (
    "install ffmpeg 5 or newer with libx264, or `pip install imageio-ffmpeg`, or point FARM_FFMPEG at one"
)


@dataclass(frozen=True)
class FFmpeg:
    """One ffmpeg binary. `banner` is what `-version` prints."""

    path: str
    banner: str

    @property
    def version(self) -> str:
        """Release name as printed, for example `7.0.2-static` or `n9.0.2-17-g2a571b6068`."""
        words = self.banner.split()
        return words[2] if len(words) > 2 else "unknown"

    @property
    def major(self) -> int | None:
        """Release number, or None for a build from a development branch."""
        found = re.match(r"n?(\d+)\.", self.version)
        return int(found.group(1)) if found else None

    @property
    def build_id(self) -> str:
        """Names this build in fingerprints: its version and a digest of all that `-version` prints."""
        return f"ffmpeg {self.version} {hashlib.sha256(self.banner.encode()).hexdigest()[:16]}"

    @cached_property
    def encoders(self) -> frozenset[str]:
        """Names of the encoders that this build has."""
        listing = _ask(self.path, "-hide_banner", "-encoders")
        return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listing, flags=re.MULTILINE))

    @cached_property
    def decoders(self) -> frozenset[str]:
        """Names of the decoders that this build has."""
        listing = _ask(self.path, "-hide_banner", "-decoders")
        return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listing, flags=re.MULTILINE))

    @cached_property
    def filters(self) -> frozenset[str]:
        """Names of the filters that this build has."""
        listing = _ask(self.path, "-hide_banner", "-filters")
        return frozenset(re.findall(r"^ [A-Z.]{2,3} (\S+)", listing, flags=re.MULTILINE))

    def require(self, encoder: str) -> None:
        """Raise MissingFFmpeg when this build lacks `encoder`."""
        if encoder not in self.encoders:
            raise MissingFFmpeg(f"{self.path} ({self.version}) has no encoder {encoder}: {REMEDY}")


def media_fingerprint() -> dict[str, str]:
    """What of this machine's media software can reach bytes: ffmpeg, and Pillow, which resizes images."""
    return {"ffmpeg": find_ffmpeg().build_id, "pillow": metadata.version("pillow")}


@lru_cache(maxsize=1)
def find_ffmpeg() -> FFmpeg:
    """The binary that this process uses.

    Raises MissingFFmpeg when there is none, or when FARM_FFMPEG names one that does not run.
    """
    chosen = os.environ.get("FARM_FFMPEG")
    if chosen:
        return _require_usable(chosen)
    refused = []
    for path in filter(None, (shutil.which("ffmpeg"), _wheel_binary())):
        binary = _open(path)
        problem = _problem(binary)
        if binary and not problem:
            return binary
        refused.append(f"{path}: {problem}")
    raise MissingFFmpeg(f"no usable ffmpeg ({'; '.join(refused) or 'none was found'}): {REMEDY}")


def _require_usable(path: str) -> FFmpeg:
    binary = _open(path)
    problem = _problem(binary)
    if binary is None or problem:
        raise MissingFFmpeg(f"FARM_FFMPEG={path}: {problem}: {REMEDY}")
    return binary


def _problem(binary: FFmpeg | None) -> str:
    if binary is None:
        return "it does not run"
    if binary.major is not None and binary.major < OLDEST_MAJOR:
        return f"version {binary.version} is older than {OLDEST_MAJOR}"
    return "" if "libx264" in binary.encoders else "it has no libx264"


def _open(path: str) -> FFmpeg | None:
    resolved = shutil.which(path)
    banner = _ask(resolved, "-version") if resolved else ""
    return FFmpeg(str(Path(resolved).resolve()), banner) if resolved and banner.startswith("ffmpeg") else None


def _ask(path: str, *arguments: str) -> str:
    try:
        answer = subprocess.run([path, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stdout if answer.returncode == 0 else ""


def _wheel_binary() -> str | None:
    try:
        import imageio_ffmpeg
    except ImportError:
        return None
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError:
        return None
