"""Media files made for tests with the same ffmpeg that the farm uses."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from actors.media.ffmpeg import find_ffmpeg

if TYPE_CHECKING:
    import numpy as np

    from tests.conftest import Marks

TIMED_TICKS = 90_000


@pytest.fixture(scope="session")
def ffmpeg_run() -> Callable[..., None]:
    """Run ffmpeg with the given arguments."""

    def run(*arguments: object) -> None:
        command = [find_ffmpeg().path, "-nostdin", "-v", "error", "-y", *map(str, arguments)]
        subprocess.run(command, check=True)

    return run


@pytest.fixture(scope="session")
def uneven_video(ffmpeg_run: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """48 frames whose distances change all the time, as screen recorders make them."""
    path = tmp_path_factory.mktemp("uneven") / "uneven.mp4"
    picture = ("-f", "lavfi", "-i", "testsrc2=s=96x64:r=24", "-frames:v", 48)
    uneven = ("-vf", "settb=1/24000,setpts='(N+0.4*sin(N))/24/TB'", "-fps_mode", "vfr")
    ffmpeg_run(*picture, *uneven, "-enc_time_base", "1:24000", "-video_track_timescale", 24000, path)
    return path


@pytest.fixture(scope="session")
def write_wav() -> Callable[[Path, np.ndarray, int], Path]:
    """Write float32 `[channels, samples]` as a 16-bit WAV file."""

    def write(path: Path, samples: np.ndarray, sample_rate: int) -> Path:
        with wave.open(str(path), "wb") as file:
            file.setnchannels(len(samples))
            file.setsampwidth(2)
            file.setframerate(sample_rate)
            file.writeframes((samples.T * 32767).astype("<i2").tobytes())
        return path

    return write


@pytest.fixture(scope="session")
def write_timed(marks: Marks, ffmpeg_run: Callable[..., None]) -> Callable[..., Path]:
    """`write(path, times, *options)`: a video whose frame n shows that number from `times[n]` seconds on."""

    def write(path: Path, times: Sequence[Fraction | float], *options: object) -> Path:
        folder = path.parent / f"{path.name}-frames"
        folder.mkdir()
        ticks = [round(Fraction(time) * TIMED_TICKS) for time in times]
        (folder / "raw").write_bytes(marks.frames(0, len(times)).tobytes())
        at = summed([f"eq(N,{n})*{tick}" for n, tick in enumerate(ticks)])
        picture = ("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-r", 24, "-i", folder / "raw")
        timed = ("-vf", f"settb=1/{TIMED_TICKS},setpts='{at}'", "-fps_mode", "passthrough")
        scales: tuple[object, ...] = (
            "-enc_time_base",
            f"1:{TIMED_TICKS}",
            "-video_track_timescale",
            TIMED_TICKS,
        )
        scales = scales if path.suffix in (".mp4", ".mov") else scales[:2]
        ffmpeg_run(*picture, *timed, "-c:v", "libx264", "-crf", 12, *scales, *options, path)
        return path

    return write


def summed(terms: list[str]) -> str:
    """Their sum as a balanced tree: ffmpeg's expressions may not nest deeply."""
    if len(terms) == 1:
        return terms[0]
    half = len(terms) // 2
    return f"({summed(terms[:half])}+{summed(terms[half:])})"
