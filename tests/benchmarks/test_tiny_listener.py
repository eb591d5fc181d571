"""The listener hears ground truth right, and notices what is missing and what is too much."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from benchmarks.tiny.detector import read
from benchmarks.tiny.listener import notes
from benchmarks.tiny.scores import EDGE_S, Hearing, bounces_seen, click, hearing
from tools.train_tiny.procedural.sound import OUTPUT_RATE, WALLS, Notes, bounces, synthesise
from tools.train_tiny.procedural.world import Frame, Scenes, draw_scenes, render

FRAME = Frame(128, 128)
FRAMES, SAMPLES = 97, 97 * OUTPUT_RATE // 25
LAST_S = FRAMES / 25 - EDGE_S
"""The last moment at which notes are judged."""


def _pictures(scenes: Scenes) -> list[torch.Tensor]:
    clips, _ = render(scenes, torch.arange(FRAMES), FRAME)
    return [(clip.transpose(0, 1) + 1) / 2 for clip in clips]


def _shown(scenes: Scenes) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pictures and sound of scenes."""
    waves = synthesise(bounces(scenes, 4.0, FRAME), SAMPLES, OUTPUT_RATE)
    return list(zip(_pictures(scenes), waves, strict=True))


@cache
def _films(count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return _shown(draw_scenes(count, FRAME, torch.Generator().manual_seed(4)))


def _bouncing(count: int, late: bool) -> Scenes:
    """Scenes that bounce just before `LAST_S`, or that do not bounce for a while around it."""
    scenes = draw_scenes(50 * count, FRAME, torch.Generator().manual_seed(11))
    time_s = bounces(scenes, LAST_S + 0.5, FRAME).time_s
    before, behind = (0.13, -0.01) if late else (0.5, 0.3)
    near = ((time_s > LAST_S - before) & (time_s < LAST_S + behind)).any(1)
    return scenes.pick((near == late).nonzero()[:count, 0])


def test_ground_truth_is_heard_without_a_mistake() -> None:
    total = sum((hearing(read(clip), wave) for clip, wave in _films(6)), Hearing())
    assert total.seen >= 10
    assert total.rates() == {"heard": 1.0, "pitch": 1.0, "stray": 0.0}


def _corners(count: int) -> tuple[Scenes, list[int]]:
    """Scenes whose object flies into a corner, where it meets two walls 40 to 60 ms apart, and which of a
    scene's notes is the first of the two."""
    scenes = draw_scenes(
        400 * count, FRAME, torch.Generator().manual_seed(5), torch.ones(400 * count, dtype=torch.bool)
    )
    time_s = bounces(scenes, LAST_S, FRAME).time_s
    apart = time_s[:, 1:] - time_s[:, :-1]
    met = (apart > 0.04) & (apart < 0.06) & (time_s[:, :-1] > 0.3)
    some = met.any(1).nonzero()[:count, 0]
    return scenes.pick(some), met[some].int().argmax(1).tolist()


def test_both_walls_of_a_corner_are_heard() -> None:
    scenes, _ = _corners(10)
    total = sum((hearing(read(clip), wave) for clip, wave in _shown(scenes)), Hearing())
    assert total.seen > 20
    assert (total.heard, total.right) == (total.seen, total.seen)


def test_a_note_that_is_missing_in_a_corner_is_missed() -> None:
    scenes, first = _corners(10)
    sound = bounces(scenes, 4.0, FRAME)
    rows = torch.arange(len(scenes))
    gone = torch.tensor(first) + rows % 2
    wall = sound.wall[rows, gone].tolist()
    time_s = sound.time_s.clone()
    time_s[rows, gone] = torch.inf
    waves = synthesise(replace(sound, time_s=time_s), SAMPLES, OUTPUT_RATE)
    for row, wave in enumerate(waves):
        at_s, gone_wall = float(sound.time_s[row, gone[row]]), list(WALLS)[wall[row]]
        assert not [n for n in notes(wave) if n.wall == gone_wall and abs(n.time_s - at_s) < 0.04]


def test_the_note_of_a_bounce_near_the_end_is_no_stray() -> None:
    for clip, wave in _shown(_bouncing(6, late=True)):
        judged = hearing(read(clip), wave)
        assert judged.notes > judged.seen
        assert judged.stray == 0


def test_notes_near_the_end_are_strays_where_nothing_bounces() -> None:
    scenes = _bouncing(4, late=False)
    time_s = torch.tensor([LAST_S - 0.22, LAST_S - 0.12, LAST_S - 0.02]).expand(len(scenes), -1)
    full = torch.ones_like(time_s)
    waves = synthesise(Notes(time_s, full.long(), full, full / 2, scenes.shape), SAMPLES, OUTPUT_RATE)
    for clip, wave in zip(_pictures(scenes), waves, strict=True):
        judged = hearing(read(clip), wave)
        assert (judged.notes, judged.stray) == (3, 3)


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


def test_a_jump_of_the_sound_is_found_at_a_seam_and_nowhere_else() -> None:
    times = torch.arange(8 * OUTPUT_RATE) / OUTPUT_RATE
    wave = (0.3 * torch.sin(2 * torch.pi * 440 * times)).expand(2, -1).clone()
    assert click(wave, (2.0, 5.0), OUTPUT_RATE) <= 1.01
    broken = wave.clone()
    broken[:, 5 * OUTPUT_RATE + 100 :] *= -1
    assert click(broken, (2.0, 5.0), OUTPUT_RATE) > 1.25
    assert click(broken, (2.0, 6.0), OUTPUT_RATE) <= 1.01
