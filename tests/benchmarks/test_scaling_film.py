"""One film on many GPUs: what the page claims, and that its figure is the one that the numbers draw."""

from __future__ import annotations

from dataclasses import replace

import pytest

from benchmarks.scaling.film import FAST, FIGURE, WAYS, WITH_STILLS, drawn, minutes


def test_what_each_way_gains_on_64_gpus() -> None:
    found = {way: minutes(film) for way, film in WAYS.items()}
    chained, stills, held = ([some[0] / each for each in some] for some in found.values())
    assert chained[-1] < 1.5
    assert stills[-1] > 3.9
    assert held[-1] >= 20
    assert FIGURE.read_text() == drawn(found), "run: python -m benchmarks.scaling_curves"


def test_what_temporal_rounds_gain_on_64_gpus() -> None:
    stills, held = ([some[0] / each for each in some] for some in map(minutes, FAST.values()))
    assert held[-1] >= 40
    assert held[-1] > stills[-1] > 20


def test_windows_decode_on_several_gpus() -> None:
    """The end of a film, and of one chunk, comes sooner than where a chunk is decoded at once."""
    for film in FAST.values():
        whole = replace(film, windows=1)
        assert minutes(film)[-1] < minutes(whole)[-1]
        one, alone = (minutes(replace(some, chunks=1)) for some in (film, whole))
        assert one[0] == pytest.approx(alone[0])
        assert 60 * (alone[2] - one[2]) == pytest.approx(0.75 * WITH_STILLS.decode_s, abs=2.0)
