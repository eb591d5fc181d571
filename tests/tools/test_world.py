"""The procedural world: constant speed, walls, and scenes that look the same at every size."""

from __future__ import annotations

import math

import pytest
import torch

from tools.train_tiny.procedural.world import (
    FREE_FRAMES,
    RADIUS,
    SPEED_PER_FRAME,
    Frame,
    centres,
    draw_scenes,
    render,
)

SIZES = [Frame(128, 128), Frame(256, 256), Frame(128, 192)]


@pytest.mark.parametrize("frame", SIZES)
def test_the_object_stays_inside_and_never_speeds_up(frame: Frame) -> None:
    scenes = draw_scenes(64, frame, torch.Generator().manual_seed(0))
    path = centres(scenes, torch.arange(400), frame)
    width, height = frame.extent
    assert path[..., 0].min() >= RADIUS - 1e-5
    assert path[..., 0].max() <= width - RADIUS + 1e-5
    assert path[..., 1].min() >= RADIUS - 1e-5
    assert path[..., 1].max() <= height - RADIUS + 1e-5
    steps = (path[:, 1:] - path[:, :-1]).norm(dim=2)
    assert steps.max() <= SPEED_PER_FRAME * 1.001
    assert steps.median() == pytest.approx(SPEED_PER_FRAME, rel=1e-3)


def test_the_first_direction_is_the_named_one() -> None:
    frame = SIZES[0]
    scenes = draw_scenes(64, frame, torch.Generator().manual_seed(1), torch.ones(64, dtype=torch.bool))
    path = centres(scenes, torch.tensor([0, FREE_FRAMES]), frame)
    move = path[:, 1] - path[:, 0]
    angle = torch.atan2(move[:, 1], move[:, 0]) - scenes.direction * math.pi / 4
    assert (torch.remainder(angle + math.pi, 2 * math.pi) - math.pi).abs().max() < math.radians(9)


def test_size_changes_sharpness_only() -> None:
    scenes = draw_scenes(4, SIZES[0], torch.Generator().manual_seed(2))
    small, _ = render(scenes, torch.arange(3), SIZES[0])
    large, _ = render(scenes, torch.arange(3), SIZES[1])
    reduced = torch.nn.functional.avg_pool3d(large, (1, 2, 2))
    assert (small - reduced).abs().mean() < 0.01
