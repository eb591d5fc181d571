"""Sound as it is drawn."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np
import pytest

from farm.report.waveform import COLUMNS, waveform


@pytest.mark.parametrize("sides", [(1,), (1, 1), (1, -1)], ids=["mono", "stereo", "sides that cancel out"])
def test_the_waveform_is_as_loud_as_the_sound(tmp_path: Path, sides: tuple[int, ...]) -> None:
    samples = np.zeros((8000, len(sides)), "<i2")
    samples[4000:] = (30000 * np.sin(np.arange(4000))[:, None] * sides).astype("<i2")
    with wave.open(str(tmp_path / "half.wav"), "wb") as file:
        file.setparams((len(sides), 2, 8000, 8000, "NONE", ""))
        file.writeframes(samples.tobytes())
    heights = [float(y) for y in re.findall(r"[M ]\d+ ([\d.]+)", waveform(tmp_path / "half.wav", 1.0))]
    upper = heights[:COLUMNS]
    assert max(upper[410:]) < 30
    assert min(upper[:390]) > 49
