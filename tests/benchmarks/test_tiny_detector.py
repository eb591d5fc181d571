"""The detector reads ground truth right, and notices what is not there."""

from __future__ import annotations

import pytest
import torch

from benchmarks.tiny.detector import read
from benchmarks.tiny.scores import motion
from tools.train_tiny.procedural.world import (
    BACKGROUNDS,
    COLOURS,
    DIRECTIONS,
    SHAPES,
    Frame,
    draw_scenes,
    render,
)


@pytest.mark.parametrize(
    ("frame", "count"), [(Frame(128, 128), 16), (Frame(256, 256), 2), (Frame(128, 192), 4)]
)
def test_ground_truth_is_read_without_a_mistake(frame: Frame, count: int) -> None:
    scenes = draw_scenes(count, frame, torch.Generator().manual_seed(4), torch.ones(count, dtype=torch.bool))
    for i in range(count):
        one = scenes.pick(slice(i, i + 1))
        seen = read((render(one, torch.arange(25), frame)[0][0].transpose(0, 1) + 1) / 2)
        assert (seen.colour, seen.shape) == (list(COLOURS)[one.colour], SHAPES[one.shape])
        assert seen.background == list(BACKGROUNDS)[one.background]
        assert seen.direction() == DIRECTIONS[one.direction]
        assert seen.present.all()


def test_an_empty_clip_shows_no_object() -> None:
    assert not read(torch.full((9, 3, 128, 128), 0.47)).present.any()


def test_a_jump_at_a_seam_is_measured() -> None:
    frame = Frame(128, 128)
    one = draw_scenes(1, frame, torch.Generator().manual_seed(8))
    when = torch.cat([torch.arange(100), torch.arange(106, 206)])
    clip = (render(one, when, frame)[0][0].transpose(0, 1) + 1) / 2
    assert motion(clip, [100], fade=0).ratio > 1.5
    smooth = (render(one, torch.arange(200), frame)[0][0].transpose(0, 1) + 1) / 2
    assert motion(smooth, [100], fade=0).ratio < 1.25
