"""A cut late in a source is read from shortly before it where that is known to be safe, and shows what it
shows when read from the start."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

from actors.media import frames
from actors.media.ffmpeg import find_ffmpeg
from actors.media.frames import Cut, read_video
from actors.media.probe import read_stream

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "3", "-g", "60", "-pix_fmt", "yuv420p")
REFRESH = (*X264, "-bf", "0", "-x264-params")
"""With the moving refresh, key frames of the container are recovery points."""
VP9 = ("-c:v", "libvpx-vp9", "-cpu-used", "8", "-deadline", "realtime")
UNEVEN = "select='not(eq(mod(n,7),3))+lt(n,200)'"
WAYS: dict[str, tuple[str, tuple[str, ...]]] = {
    "mp4": ("24", (*X264, "clip.mp4")),
    "ntsc": ("30000/1001", (*X264, "clip.mkv")),
    "fragmented": ("25", (*X264, "-movflags", "frag_keyframe+empty_moov", "clip.mp4")),
    "starts late": ("24", (*X264, "-output_ts_offset", "3.3", "clip.mkv")),
    "uneven": ("24", ("-vf", UNEVEN, "-fps_mode", "vfr", *X264, "clip.mkv")),
    "open groups": ("24", (*X264, "-x264-params", "open-gop=1:keyint=48", "clip.mp4")),
    "refresh": ("24", (*REFRESH, "intra-refresh=1:keyint=48", "clip.mp4")),
    "refresh of 12 s": ("24", (*REFRESH, "intra-refresh=1:keyint=288", "clip.mp4")),
    "refresh of 20 s": ("24", (*REFRESH, "intra-refresh=1:keyint=480", "clip.mp4")),
    "refresh in mkv": ("24", (*REFRESH, "intra-refresh=1:keyint=480", "clip.mkv")),
    "one key frame": ("24", (*X264, "-g", "9999", "clip.mov")),
    "hevc": (
        "24",
        ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "clip.mp4"),
    ),
    "vp9": ("25", (*VP9, "clip.webm")),
    "transparent": ("25", (*VP9, "-pix_fmt", "yuva420p", "clip.webm")),
    "av1": ("24", ("-c:v", "libsvtav1", "-preset", "12", "clip.mp4")),
    "ffv1": ("24", ("-c:v", "ffv1", "-g", "48", "clip.mkv")),
    "prores": ("24", ("-c:v", "prores_ks", "clip.mov")),
    "mjpeg": ("24", ("-c:v", "mjpeg", "clip.mov")),
    "mpeg4": ("24", ("-c:v", "mpeg4", "-bf", "2", "clip.mp4")),
    "no index": ("25", (*X264, "clip.ts")),
}
FROM_THE_START = {"open groups", "transparent", "mpeg4", "no index"}
FROM_THE_START |= {name for name in WAYS if name.startswith("refresh")}


def made(folder: Path, rate: str, options: tuple[str, ...]) -> Path:
    """A minute in which every frame is another."""
    ffmpeg = find_ffmpeg()
    for name in {"libx265", "libvpx-vp9", "libsvtav1"}.intersection(options):
        if name not in ffmpeg.encoders:
            pytest.skip(f"no {name}")
    path = folder / options[-1]
    source = f"testsrc2=size=96x64:rate={rate}:duration=60"
    words = [ffmpeg.path, "-v", "error", "-y", "-f", "lavfi", "-i", source, *options[:-1], str(path)]
    subprocess.run(words, check=True)
    return path


@pytest.mark.parametrize("way", WAYS)
def test_late_frames_are_those_of_a_reading_from_the_start(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, *WAYS[way])
    stream = read_stream(path)
    cuts = [
        Cut(64, 64, frame_rate, 9, round(at_s * frame_rate))
        for frame_rate in (float(stream.rate), 30.0)
        for at_s in (24.0, 33.4, float(stream.seconds) - 1.0)
    ]
    jump_s = frames._jump_s(path, stream, cuts[0], round(40 * stream.rate))
    assert jump_s == (0 if way in FROM_THE_START else 30 + int(stream.start_s))
    found = [read_video(path, cut) for cut in cuts]
    monkeypatch.setattr(frames, "_jump_s", lambda *_: 0)
    for cut, got in zip(cuts, found, strict=True):
        assert np.array_equal(got, read_video(path, cut)), cut


def test_a_file_is_listed_once_as_long_as_it_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = made(tmp_path, "24", WAYS["mp4"][1])
    listed: list[Path] = []

    def noted(read: Path) -> object:
        listed.append(read)
        return read_stream(read)

    monkeypatch.setattr(frames, "read_stream", noted)
    for start in (0, 1200, 1300):
        read_video(path, Cut(64, 64, 24.0, 2, start))
    assert len(listed) == 1
    made(tmp_path, "25", WAYS["mp4"][1])
    read_video(path, Cut(64, 64, 24.0, 2, 0))
    assert len(listed) == 2
