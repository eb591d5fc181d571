"""Films between held images: the bundled model beside a film that is known."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.tiny.held import APART, BEFORE, Kind, held_job, held_scores, known_films, measure, summary
from jobs.loading.load import load_spec
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan


def test_the_film_that_is_known_scores_as_itself() -> None:
    (known,) = known_films(1, 2)
    scores = held_scores(known.pixels.permute(0, 3, 1, 2).float() / 255, known)
    assert (scores.place_error, scores.speed_change) == (0.0, scores.true_speed_change)
    still = known.pixels[:1].expand_as(known.pixels)
    assert held_scores(still.permute(0, 3, 1, 2).float() / 255, known).place_error > 0.1


@pytest.mark.parametrize("kind", ["one", "two", "clip"])
def test_no_chunk_waits_for_another(tmp_path: Path, kind: Kind) -> None:
    spec = load_spec(held_job(known_films(1, 3), kind, tmp_path)).spec
    clips = [str(path) for path in tmp_path.glob("*.mkv")]
    facts = SourceFacts({path: VideoFact(BEFORE + 9, 128, 128, 25.0) for path in clips})
    (video,) = make_plan(spec, facts).videos
    assert video.frames == 3 * APART + 1
    assert not any(chunk.continues for chunk in video.chunks)
    counts = {"one": [2, 2, 2], "two": [4, 4, 4], "clip": [2, 2, 3]}
    assert [len(chunk.guides) for chunk in video.chunks] == counts[kind]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "kind",
    [pytest.param("two", marks=pytest.mark.xfail(reason="the bundled model's: docs/seams.md")), "clip"],
)
def test_the_bundled_model_keeps_place_and_speed(tmp_path: Path, kind: Kind) -> None:
    torch.set_num_threads(1)
    scores = summary(measure(kind, takes=2, chunks=3, folder=tmp_path))
    print(kind, scores)
    assert scores["place_error"] <= 0.02
    assert scores["jump_ratio"] <= 1.25
