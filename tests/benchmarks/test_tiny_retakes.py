"""How parts that are made anew are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from benchmarks.tiny.held import known_films
from benchmarks.tiny.retakes import START, measure, retake_scores

if TYPE_CHECKING:
    from pathlib import Path


def test_the_film_that_is_known_joins_itself() -> None:
    (known,) = known_films(1, 2)
    score = retake_scores(known.pixels.permute(0, 3, 1, 2).float() / 255, known)
    assert score.changed == 0
    assert score.pixel_jump < 1.25


@pytest.mark.parametrize(("frame", "changed"), [(3, 1), (START, 0)])
def test_a_frame_that_is_another_is_seen(frame: int, changed: int) -> None:
    (known,) = known_films(1, 2)
    made = known.pixels.permute(0, 3, 1, 2).float() / 255
    made[frame] = 1 - made[frame]
    score = retake_scores(made, known)
    assert score.changed == changed
    assert (score.pixel_jump > 1.25) == (frame == START)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_bundled_model_joins_what_stays(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    scores = measure(2, tmp_path / "runs", None)
    print(scores)
    assert [score.changed for score in scores] == [0, 0]
    assert max(score.object_jump for score in scores) <= 1.25
    assert max(score.pixel_jump for score in scores) <= 1.25
