"""Keyframes and temporal rounds: what stands beside a clip, what a canvas carries, what a tile keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest

from actors.engines.base import Arriving, landed
from actors.payload import Payload
from actors.steps.passes import run_pass
from actors.steps.rounds import denoise_tile, make_canvas
from jobs.errors import InvalidInput
from jobs.frames import ChunkSpan, Span
from jobs.planning.params import Excerpt, PassParams, Upsampling
from jobs.planning.rounds.layout import canvas_seams, tiles
from jobs.planning.rounds.params import CanvasParams, HeardPart, TileParams
from jobs.planning.sampling import GuideUse, PlannedGuider, Sampling

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from actors.engines.pieces import PassSound, Piece

SAMPLING = Sampling(1, 1.0, "euler", (0.9, 0.0), PlannedGuider(), 2.05, 0.95)
WORDS = Payload({})
FIRST = PassParams(
    64, 32, ChunkSpan(0, 7, 7), 24.0, 3, SAMPLING, (), 1.0, "auto", 0, audio_mode="generate", slots=(24, 48)
)  # fmt: skip
HEARD = HeardPart(Span(0, 7), 24.0, 0.0, 2.0)
TILE = tiles(canvas_seams(7, 1), 2, True)[1]


class Recorder:
    """An engine that upsamples by 100, makes stills of -1, and of a clip what it shows plus a half; slots
    become their frames."""

    name = "recorder"

    def __init__(self) -> None:
        self.pieces: Sequence[Piece] = ()
        self.sound: PassSound | None = None

    def upsample(self, latents: Payload, how: Upsampling) -> Payload:
        return Payload({"latents": 100 * latents["latents"]})

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload:
        return row(-1)

    def interpolate(self, latents: Payload) -> Payload:
        return Payload({"latents": np.repeat(latents["latents"], 2, axis=2)[:, :, 1:]})

    def denoise(self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, words: Any) -> Payload:
        return self._made(pieces, sound, np.zeros((1, 1, run.span.sampled, 1, 1), np.float32))

    def refine(self, run: TileParams, pieces: Sequence[Piece], sound: PassSound, words: Any) -> Payload:
        return self._made(pieces, sound, pieces[0].latents["latents"] + np.float32(0.5))

    def _made(self, pieces: Sequence[Piece], sound: PassSound, clip: np.ndarray) -> Payload:
        self.pieces, self.sound = pieces, sound
        frames = [piece.frame for piece in pieces if piece.marked]
        return Payload({"latents": clip, "keyframes": row(*frames)["latents"]})


class Elsewhere:
    """Latents that are still on a device."""

    def __init__(self, latents: Payload) -> None:
        self.latents = latents

    def __getitem__(self, which: slice) -> Elsewhere:
        return Elsewhere(Payload({"latents": self.latents["latents"][:, :, which]}))

    def send(self) -> Arriving:
        return Arriving(lambda: self.latents)


class OnDevice(Recorder):
    """One that leaves on its device what it makes."""

    def upsample(self, latents: Payload, how: Upsampling) -> Elsewhere:  # type: ignore[override]
        return Elsewhere(super().upsample(latents, how))

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Elsewhere:  # type: ignore[override]
        return Elsewhere(super().still(latents, frame, how))

    def _made(self, pieces: Sequence[Piece], sound: PassSound, clip: np.ndarray) -> Arriving:  # type: ignore[override]
        made = super()._made(pieces, sound, clip)
        return Arriving(lambda: made)


def row(*numbers: float) -> Payload:
    return Payload({"latents": np.array(numbers, np.float32).reshape(1, 1, -1, 1, 1)})


def made(latents: Payload, *keyframes: float, **sound: np.ndarray) -> Payload:
    return Payload({**latents.arrays, "keyframes": row(*keyframes)["latents"], **sound})


def numbers(array: np.ndarray) -> list[float]:
    return [float(number) for number in array.ravel()]


def passed(
    params: PassParams, kind: type[Recorder] = Recorder, **inputs: list[Payload]
) -> tuple[Payload, Recorder]:
    engine = kind()
    found = run_pass(params, {"conditioning": [WORDS], **inputs}, cast("Engine", engine))
    return landed(found), engine


def test_a_first_pass_makes_its_slots_from_nothing() -> None:
    found, engine = passed(FIRST)
    slots = engine.pieces[1:]
    assert [(slot.latents, slot.frame, slot.hold) for slot in slots] == [(None, 24, 0.0), (None, 48, 0.0)]
    assert numbers(found["keyframes"]) == [24, 48]


@pytest.mark.parametrize("kind", [Recorder, OnDevice])
def test_a_second_pass_makes_them_over_those_of_the_first(kind: type[Recorder]) -> None:
    """The middle chunk of three: it begins and ends with a still, and what the first pass has there instead
    stands in no place, or in that of the first latent of the half-size clip."""
    chain = Excerpt((Span(0, 7), Span(5, 13), Span(11, 19)), 1, (6, 12))
    params = replace(
        FIRST, span=ChunkSpan(1, 6, 13), upsampling=Upsampling(), excerpt=chain, slots=(24,),
        keyframes=(0, 24, 48), audio_mode="hold",
    )  # fmt: skip
    first = [
        made(row(*range(7)), 70, 71),
        made(row(*range(5, 13)), 80, 81),
        made(row(*range(11, 19)), 90, 91),
    ]
    found, engine = passed(params, kind, latents=first, keyframes=[first[0]])
    stills, slot, half = engine.pieces[1:3], engine.pieces[3], engine.pieces[4]
    assert [still.frame for still in stills] == [0, 48]
    seed = slot.latents if isinstance(slot.latents, Payload) else landed(slot.latents.send())
    assert (slot.frame, slot.hold, slot.marked, numbers(seed["latents"])) == (24, 0.0, True, [8000])
    assert (half.scale, half.reference, half.hold) == (2, True, 1.0)
    assert numbers(half.latents["latents"]) == [71, 7, 8, 9, 10, 11, 12]
    assert numbers(found["keyframes"]) == [-1, 24, -1]


@pytest.mark.parametrize(
    ("at_seam", "carried", "slots", "due"),
    [(False, [2, 4], [1, 3], [1, 2, 3, 4]), (True, [0, 2, 4], [1, 3], [0, 1, 2, 3, 4])],
)
def test_a_canvas_has_the_keyframes_in_the_order_of_their_frames(
    at_seam: bool, carried: list[float], slots: list[float], due: list[float]
) -> None:
    engine = cast("Engine", Recorder())
    first = make_canvas(
        CanvasParams(64, 32, (7,), at_seam), {"latents": [made(row(*range(7)), *carried)]}, engine
    )
    assert isinstance(first, Payload)
    assert first["latents"].shape[2] == 13
    assert numbers(first["keyframes"]) == carried
    parts = [made(row(*range(7)), slots[0]), made(row(*range(7, 13)), slots[1])]
    then = make_canvas(CanvasParams(64, 32, (7, 6), at_seam), {"latents": parts, "carried": [first]}, engine)
    assert isinstance(then, Payload)
    assert numbers(then["latents"])[::2] == list(range(13))
    assert numbers(then["keyframes"]) == due


def tile_params(**more: Any) -> TileParams:
    return TileParams(64, 32, 13, TILE, 60.0, HEARD, (), SAMPLING, 3, "auto", 0, **more)


def test_a_tile_begins_with_what_the_one_before_it_ends_with() -> None:
    """The second tile of 13 latents that begin at a seam: its run-up is all of the first stretch."""
    engine, canvas = Recorder(), made(row(*range(13)), 100, 101, 102)
    sound = np.ones((1, 1, 4, 1), np.float32)
    params = replace(tile_params(), guides=(GuideUse(18, 0.5, 0.8),))
    inputs = {
        "canvas": [canvas], "conditioning": [WORDS], "guide": [row(7)],
        "sound": [Payload({"audio_latents": sound})],
    }  # fmt: skip
    found = denoise_tile(params, inputs, cast("Engine", engine))
    clip, guide, *rest = engine.pieces
    assert numbers(clip.latents["latents"]) == list(range(13))
    assert (guide.frame, guide.hold, guide.reference) == (18, 0.4, False)
    anchors, slots = rest[:3], rest[3:]
    assert [(a.frame, a.hold, numbers(a.latents["latents"])) for a in anchors] == [
        (0, 0.95, [100]), (48, 0.95, [101]), (96, 0.95, [102])
    ]  # fmt: skip
    assert all(anchor.reference for anchor in anchors)
    assert [(s.frame, numbers(s.latents["latents"])) for s in slots] == [(24, [3]), (72, [9])]
    assert engine.sound is not None
    assert engine.sound.held
    assert isinstance(found, Payload)
    assert numbers(found["latents"]) == [number + 0.5 for number in range(7, 13)]
    assert numbers(found["keyframes"]) == [72]


def test_an_engine_without_rounds_says_so() -> None:
    class Other:
        name = "comfyui"

    canvas = {"latents": [made(row(0), 1)]}
    with pytest.raises(InvalidInput, match="comfyui engine makes no temporal rounds: use diffusers"):
        make_canvas(CanvasParams(64, 32, (1,), False), canvas, cast("Engine", Other()))
