"""What a pass is given: the clip, the chain's end, the guides and the sound, and how its clip is joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from actors.payload import Payload
from actors.steps.passes import run_pass
from jobs.frames import ChunkSpan
from jobs.planning.params import PassParams, Upsampling
from jobs.planning.sampling import GuideUse, PlannedGuider, Sampling

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from actors.engines.pieces import PassSound, Piece

NEW = 2
FIRST = PassParams(
    width=64,
    height=64,
    span=ChunkSpan(0, 3, 3),
    frame_rate=25.0,
    seed=1,
    sampling=Sampling(3, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95),
    guides=(),
    overlap_strength=0.8,
    attention_mode="auto",
    ffn_chunks=0,
    audio_mode="generate",
)
SECOND = replace(FIRST, upsampling=Upsampling())
WORDS = Payload({})


def latents(*values: float, sound: float | None = None) -> Payload:
    made = {"latents": np.array(values, np.float32).reshape(1, 1, -1, 1, 1)}
    heard = {} if sound is None else {"audio_latents": np.full((1, 1, 1, 1), sound, np.float32)}
    return Payload({**made, **heard})


class Recorder:
    """An engine that answers with ones, upsamples to tens, and keeps what it was given."""

    def __init__(self) -> None:
        self.pieces: Sequence[Piece] = ()
        self.sound: PassSound | None = None

    def upsample(self, before: Payload, how: Upsampling) -> Payload:
        return Payload({"latents": 10 * before["latents"]})

    def denoise(self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, words: Any) -> Payload:
        self.pieces, self.sound = pieces, sound
        return latents(*[1.0] * run.span.sampled)


def run(params: PassParams, **inputs: list[Payload]) -> tuple[list[float], Recorder]:
    engine = Recorder()
    made = run_pass(params, {"conditioning": [WORDS], **inputs}, cast("Engine", engine))
    assert isinstance(made, Payload)
    return made["latents"].ravel().tolist(), engine


@pytest.mark.parametrize(
    ("overlap", "replaced", "guide", "chain"),
    [
        (1, 0, [40], [40, 1, 1]),
        (2, 1, [30], [30, 1, 1, 1]),
        (3, 1, [20, 30], [20, (30 + 1) / 2, 1, 1, 1]),
        (2, 0, [30, 40], [30, (40 + 1) / 2, 1, 1]),
    ],
)
def test_the_chains_end_guides_but_for_what_replaced(
    overlap: int, replaced: int, guide: list[float], chain: list[float]
) -> None:
    params = replace(FIRST, span=ChunkSpan(overlap, NEW, 20), replaced=replaced)
    made, engine = run(params, previous=[latents(10, 20, 30, 40, sound=7)])
    start, tail = engine.pieces
    assert start.latents is None
    assert start.hold == 0.0
    assert (tail.frame, tail.hold, tail.attention) == (0, 0.8, 0.8)
    assert tail.latents["latents"].ravel().tolist() == guide
    assert made == chain
    assert engine.sound is not None
    assert engine.sound.before is not None
    assert engine.sound.latents is None


def test_guides_stand_at_their_frames() -> None:
    """One counts from the end of the 17 frames."""
    uses = (GuideUse(8, 0.5, 0.9), GuideUse(-1, 1.0, 0.9))
    images = [latents(5), latents(6)]
    _, engine = run(replace(FIRST, guides=uses), guide=images)
    found = [(piece.latents, piece.frame, piece.hold, piece.attention) for piece in engine.pieces[1:]]
    assert found == [(images[0], 8, 0.45, 0.5), (images[1], 16, 0.9, 1.0)]


def test_a_second_pass_is_made_over_the_first_and_has_its_guides_and_sound() -> None:
    image = latents(5)
    params = replace(SECOND, guides=(GuideUse(0, 1.0, 1.0),))
    _, engine = run(params, latents=[latents(1, 2, 3, sound=7)], guide=[image])
    start, guide = engine.pieces
    assert start.latents["latents"].ravel().tolist() == [10, 20, 30]
    assert guide.latents == image
    assert engine.sound is not None
    assert not engine.sound.held
    assert engine.sound.latents is not None
    assert engine.sound.latents.item() == 7


HELD = [(replace(SECOND, audio_mode="hold"), "latents"), (replace(FIRST, audio_mode="condition"), "audio")]


@pytest.mark.parametrize(("params", "role"), HELD)
def test_given_sound_is_held(params: PassParams, role: str) -> None:
    _, engine = run(params, **{role: [latents(1, 2, 3, sound=7)]})
    assert engine.sound is not None
    assert engine.sound.held
    assert engine.sound.latents is not None


def test_a_pass_without_words_only_upsamples() -> None:
    """The sound comes along."""
    engine = Recorder()
    made = run_pass(SECOND, {"latents": [latents(1, 2, 3, sound=7)]}, cast("Engine", engine))
    assert isinstance(made, Payload)
    assert made["latents"].ravel().tolist() == [10, 20, 30]
    assert made["audio_latents"].item() == 7
    assert engine.pieces == ()


def test_a_chunk_that_does_not_go_on_stays_as_it_is() -> None:
    made, engine = run(replace(FIRST, span=ChunkSpan(2, NEW, 20), replaced=1))
    assert len(engine.pieces) == 1
    assert made == [1, 1, 1, 1]
