"""Specs with clips, sounds and latents, whole and damaged, and what is said of them."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from actors.media.ffmpeg import find_ffmpeg
from farm.options import RenderOptions
from farm.specs.load import load
from jobs.advice.advice import advice
from jobs.errors import Problem, SpecError
from jobs.planning.plan import make_plan

if TYPE_CHECKING:
    import numpy as np

EXTEND = {"extend": {"prompt": "p", "num_new_frames": 24, "overlap_frames": 16}}


GENERATE = {"generate": {"prompt": "p", "num_frames": 49}}


def document(*videos: dict[str, Any], rate: float = 24.0, container: str = "mp4") -> dict[str, Any]:
    return {
        "name": "x",
        "engine": {"name": "fake"},
        "defaults": {"width": 64, "height": 64, "frame_rate": rate},
        "videos": [{"name": f"v{index}", **video} for index, video in enumerate(videos)],
        "output": {"container": container},
    }


def problems(*videos: dict[str, Any]) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        load(document(*videos), RenderOptions())
    return caught.value.problems


def said(*videos: dict[str, Any], rate: float = 24.0, container: str = "mp4") -> tuple[str, ...]:
    loaded = load(document(*videos, rate=rate, container=container), RenderOptions())
    return advice(make_plan(loaded.spec, loaded.facts), loaded.facts)


def ffmpeg(*arguments: object) -> None:
    command = [find_ffmpeg().path, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True)


def clip(path: Path, frames: int, sound: bool = False, rate: int = 24) -> Path:
    inputs = ["-f", "lavfi", "-i", f"testsrc2=s=64x64:r={rate}"]
    inputs += ["-f", "lavfi", "-i", "sine=r=48000"] if sound else []
    ffmpeg(*inputs, "-t", f"{frames / rate:.6f}", "-g", 24, path)
    return path


def continued(path: Path, **video: Any) -> dict[str, Any]:
    return {"source": {"video": str(path)}, "chunks": [EXTEND], **video}


def half(path: Path) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    return path


def damaged(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    start = data.find(b"mdat") + len(data) // 3
    for at in range(start, start + 400, 7):
        data[at] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


def write_wav(path: Path, samples: np.ndarray, stated: int | None = None, form: int = 3) -> Path:
    """Mono at 48 kHz, of floats (form 3) or whole numbers (1); `stated` is the length in the header."""
    data = samples.astype(
        {("f", 4): "<f4", ("f", 8): "<f8"}.get((samples.dtype.kind, samples.itemsize), "<i2")
    )
    raw = data.tobytes()
    length = len(raw) if stated is None else stated
    width = data.itemsize
    head = struct.pack("<IHHIIHH", 16, form, 1, 48000, 48000 * width, width, 8 * width)
    path.write_bytes(b"RIFF" + struct.pack("<I", min(36 + length, 0xFFFFFFFF)) + b"WAVEfmt " + head + b"data"
                     + struct.pack("<I", length) + raw)  # fmt: skip
    return path


def heard(path: Path, **track: Any) -> dict[str, Any]:
    return {"sound": [{"file": str(path), **track}], "chunks": [GENERATE]}
