"""The listener hears ground truth right, and notices what is missing and what is too much."""

from __future__ import annotations

from functools import cache

import torch

from benchmarks.tiny.detector import read
from benchmarks.tiny.listener import notes
from benchmarks.tiny.scores import Hearing, bounces_seen, hearing
from tools.train_tiny.procedural.sound import OUTPUT_RATE, bounces, synthesise
from tools.train_tiny.procedural.world import Frame, draw_scenes, render

FRAME = Frame(128, 128)


@cache
def _films(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    scenes = draw_scenes(count, FRAME, torch.Generator().manual_seed(4))
    clips, _ = render(scenes, torch.arange(97), FRAME)
    waves = synthesise(bounces(scenes, 4.0, FRAME), 97 * OUTPUT_RATE // 25, OUTPUT_RATE)
    return [((clip.transpose(0, 1) + 1) / 2, wave) for clip, wave in zip(clips, waves, strict=True)]


def test_ground_truth_is_heard_without_a_mistake() -> None:
    total = sum((hearing(read(clip), wave) for clip, wave in _films(6)), Hearing())
    assert total.seen >= 10
    assert total.rates() == {"heard": 1.0, "pitch": 1.0, "stray": 0.0}


def test_silence_misses_every_bounce() -> None:
    clip, wave = _films(1)[0]
    judged = hearing(read(clip), torch.zeros_like(wave))
    assert judged.seen
    assert judged.heard == 0
    assert judged.notes == 0


def test_a_late_sound_counts_as_missing_and_as_stray() -> None:
    clip, wave = next((c, w) for c, w in _films(6) if len(bounces_seen(read(c))) >= 2)
    judged = hearing(read(clip), wave.roll(OUTPUT_RATE // 4, 1))
    assert judged.heard == 0
    assert judged.stray > 0


def test_a_note_knows_its_wall() -> None:
    clip, wave = _films(1)[0]
    seen, heard = bounces_seen(read(clip)), notes(wave)
    assert [note.wall for note in heard][: len(seen)] == [bounce.wall for bounce in seen]
