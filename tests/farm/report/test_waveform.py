"""Sound as it is drawn."""

from __future__ import annotations

import re
import wave
from pathlib import Path

import numpy as np

from farm.report.waveform import COLUMNS, waveform


def test_the_waveform_is_as_loud_as_the_sound(tmp_path: Path) -> None:
    samples = np.zeros(8000, "<i2")
    samples[4000:] = (30000 * np.sin(np.arange(4000))).astype("<i2")
    with wave.open(str(tmp_path / "half.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 8000, "NONE", ""))
        file.writeframes(samples.tobytes())
    heights = [float(y) for y in re.findall(r"[M ]\d+ ([\d.]+)", waveform(tmp_path / "half.wav", 1.0))]
    upper = heights[:COLUMNS]
    assert max(upper[410:]) < 30
    assert min(upper[:390]) > 49
