"""HDR video is tone-mapped: what comes out is what the formulas of BT.2100 and the Moebius curve give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actors.media import colors
from actors.media.colors import KNEE, PEAK, WHITE_NITS
from actors.media.ffmpeg import find_ffmpeg
from actors.media.frames import Cut, read_video
from actors.media.probe import probe_video
from jobs.errors import InvalidInput

PATCHES = [(0.0, 0.0, 0.0), (10, 10, 10), (50, 50, 50), (100, 100, 100), (203, 203, 203), (600, 600, 600),
           (1000, 1000, 1000), (150, 60, 40), (40, 120, 60), (60, 60, 180), (300, 250, 100)]  # fmt: skip
"""Light in nits, BT.2020."""
SIDE = 32

PQ_M1, PQ_M2, PQ_C1, PQ_C2, PQ_C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
BT2020_TO_709 = np.array([[1.660491, -0.587641, -0.072850], [-0.124550, 1.132900, -0.008349],
                          [-0.018151, -0.100579, 1.118730]])  # fmt: skip


def pq(nits: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084."""
    powered = (nits / 10_000) ** PQ_M1
    return ((PQ_C1 + PQ_C2 * powered) / (1 + PQ_C3 * powered)) ** PQ_M2


def hlg(nits: np.ndarray) -> np.ndarray:
    """ARIB STD-B67 for a display of 1,000 nits, its system gamma of 1.2 applied to each channel."""
    scene = (nits / 1000) ** (1 / 1.2)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-9)) + c)


def moebius(x: np.ndarray) -> np.ndarray:
    a = -KNEE * KNEE * (PEAK - 1) / (KNEE * KNEE - 2 * KNEE + PEAK)
    b = (KNEE * KNEE - 2 * KNEE * PEAK + PEAK) / (PEAK - 1)
    return np.where(x <= KNEE, x, (b * b + 2 * b * KNEE + KNEE * KNEE) / (b - a) * (x + a) / (x + b))


def expected(nits: np.ndarray) -> np.ndarray:
    """8-bit BT.709 of light `[n, 3]`."""
    light = nits / WHITE_NITS @ BT2020_TO_709.T
    brightest = np.maximum(light.max(axis=1, keepdims=True), 1e-6)
    mapped = light * moebius(brightest) / brightest
    return 255 * np.clip(mapped, 0, 1) ** (1 / 2.4)


def write_hdr(path: Path, coded: np.ndarray, curve: str, ffmpeg_run: Callable[..., None]) -> Path:
    """A lossless 10-bit clip of 9 frames whose patches `[n, 3]`, from 0 to 1, lie side by side."""
    row = np.repeat(np.round(coded * 65535).astype("<u2"), SIDE, axis=0)[None]
    raw = path.with_suffix(".raw")
    raw.write_bytes(np.repeat(np.repeat(row, SIDE, axis=0)[None], 9, axis=0).tobytes())
    size = f"{row.shape[1]}x{SIDE}"
    tags = f"color_primaries=bt2020:color_trc={curve}:colorspace=bt2020nc:range=tv"
    convert = "scale=out_color_matrix=bt2020:out_range=tv:flags=accurate_rnd+full_chroma_int"
    ffmpeg_run("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", size, "-r", 24, "-i", raw,
               "-vf", f"{convert},format=yuv444p10le,setparams={tags}", "-c:v", "ffv1", path)  # fmt: skip
    return path


@pytest.mark.parametrize(("curve", "encode", "name"), [("smpte2084", pq, "PQ"), ("arib-std-b67", hlg, "HLG")])
def test_hdr_becomes_what_the_formulas_give(
    curve: str,
    encode: Callable[[np.ndarray], np.ndarray],
    name: str,
    tmp_path: Path,
    ffmpeg_run: Callable[..., None],
) -> None:
    nits = np.array(PATCHES, np.float64)
    clip = write_hdr(tmp_path / "a.mkv", encode(nits), curve, ffmpeg_run)
    assert probe_video(clip).hdr == name
    frames = read_video(clip, Cut(len(nits) * SIDE, SIDE, 24.0, 9))
    seen = frames[4, SIDE // 2, SIDE // 2 :: SIDE].astype(float)
    assert np.abs(seen - expected(nits)).max() < 1


def test_diffuse_white_is_bright_and_highlights_are_not_lost(
    tmp_path: Path, ffmpeg_run: Callable[..., None]
) -> None:
    nits = np.array([[203.0] * 3, [600.0] * 3, [1000.0] * 3])
    clip = write_hdr(tmp_path / "a.mkv", pq(nits), "smpte2084", ffmpeg_run)
    white, brighter, peak = read_video(clip, Cut(3 * SIDE, SIDE, 24.0, 1))[0, 16, 16::SIDE, 1].astype(int)
    assert 190 <= white < brighter < peak
    assert peak >= 253
    padded = read_video(clip, Cut(3 * SIDE, 3 * SIDE, 24.0, 1, fit="pad"))[0]
    assert list(padded[SIDE + 16, 16::SIDE, 1]) == [white, brighter, peak]
    assert not padded[:SIDE].any()
    assert not padded[2 * SIDE :].any()


def test_an_ffmpeg_that_cannot_map_it_is_refused(
    tmp_path: Path, ffmpeg_run: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = write_hdr(tmp_path / "a.mkv", pq(np.full((1, 3), 100.0)), "smpte2084", ffmpeg_run)
    poor = replace(find_ffmpeg())
    poor.__dict__["filters"] = frozenset({"scale"})
    monkeypatch.setattr(colors, "find_ffmpeg", lambda: poor)
    with pytest.raises(InvalidInput, match=r"HDR.*lacks zscale and tonemap.*convert it to BT\.709"):
        probe_video(clip)


def test_an_ordinary_clip_is_not_mapped(tmp_path: Path, ffmpeg_run: Callable[..., None]) -> None:
    grey = np.full((1, 3), 128 / 255)
    clip = write_hdr(tmp_path / "a.mkv", grey, "bt709", ffmpeg_run)
    assert probe_video(clip).hdr == ""
    assert abs(int(read_video(clip, Cut(SIDE, SIDE, 24.0, 1))[0, 16, 16, 1]) - 128) <= 1
