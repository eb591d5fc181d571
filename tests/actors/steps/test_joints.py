"""Second passes whose clips wait for no other: what each is made over, and what two neighbours hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from actors.payload import Payload
from actors.steps.passes import run_pass
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    import pytest

    from actors.engines.base import Engine
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import PassParams, Upsampling
    from jobs.tasks.task import StageTask

EXTEND = {"prompt": "b", "num_new_frames": 48, "overlap_frames": 16}


class Recorder:
    """An engine that answers with ones, upsamples by 100, and makes of a still the sum of what it sees and
    the next random number."""

    def __init__(self) -> None:
        self.pieces: Sequence[Piece] = ()
        self.sound: PassSound | None = None

    def upsample(self, before: Payload, how: Upsampling) -> Payload:
        return Payload({"latents": 100 * before["latents"]})

    def still(self, latents: Payload, frame: int, how: Upsampling) -> Payload:
        seen = latents["latents"].sum() + frame + np.random.random()
        return Payload({"latents": np.full((1, 1, 1, 1, 1), seen, np.float32)})

    def denoise(self, run: PassParams, pieces: Sequence[Piece], sound: PassSound, words: Any) -> Payload:
        self.pieces, self.sound = pieces, sound
        made = {"latents": np.ones((1, 1, run.span.sampled, 1, 1), np.float32)}
        return Payload({**made, **({"audio_latents": sound.latents} if sound.latents is not None else {})})


def runs(**upscale: Any) -> list[StageTask]:
    """The second passes of a shot of 5, 6 and 6 latents."""
    chunks = [{"generate": {"prompt": "a", "num_frames": 33}}, {"extend": EXTEND}, {"extend": EXTEND}]
    video = {"name": "v", "chunks": chunks, "sound": [{"generate": True}]}
    job = {
        "name": "j",
        "engine": {"name": "fake"},
        "videos": [video],
        "upscale": {"joint": "still", **upscale},
    }
    tasks = build_graph(make_plan(JobSpec.model_validate(job))).tasks
    return [tasks[f"v/{chunk:05d}/upscale"] for chunk in range(3)]


def first_passes() -> dict[str, Payload]:
    """Each latent is its number in the chain; of the two that an Extend is guided by, its blend has changed
    the last one."""
    spans = {0: range(5), 1: range(3, 11), 2: range(9, 17)}
    made = {}
    for chunk, span in spans.items():
        numbers = np.array([float(n) for n in span], np.float32)
        if chunk < 2:
            numbers[-1] += 1000
        sound = np.full((1, 1, 3, 1), chunk, np.float32)
        made[f"v/{chunk:05d}/sample"] = Payload(
            {"latents": numbers.reshape(1, 1, -1, 1, 1), "audio_latents": sound}
        )
    return made


def run(task: StageTask) -> tuple[Payload, Recorder]:
    engine, known = Recorder(), first_passes()
    inputs: dict[str, list[Payload]] = {"conditioning": [Payload({})]}
    for need in task.needs:
        if need.role == "latents":
            inputs.setdefault("latents", []).append(known[need.task])
    return cast("Payload", run_pass(task.params, inputs, cast("Engine", engine))), engine


def test_a_clip_is_made_over_the_chain_as_it_stands_when_all_of_it_is_sampled() -> None:
    for task, wanted in zip(runs(), (range(5), range(4, 11), range(10, 17)), strict=True):
        start = run(task)[1].pieces[0].latents["latents"].ravel().tolist()
        assert start == [100.0 * n for n in wanted]


def test_neighbours_hold_the_same_still_where_they_meet() -> None:
    held = [run(task)[1].pieces[1:] for task in runs()]
    stills = [
        [(piece.frame, float(piece.latents["latents"].sum()), piece.hold) for piece in own] for own in held
    ]
    assert [[frame for frame, _, _ in own] for own in stills] == [[32], [0, 48], [0]]
    (first,), (left, right), (last,) = [[seen for _, seen, _ in own] for own in stills]
    assert first == left
    assert right == last
    assert left != right
    assert {hold for own in stills for _, _, hold in own} == {1.0}


def test_a_still_is_seen_with_four_latents_before_it_and_one_behind() -> None:
    (still,) = run(runs()[2])[1].pieces[1:]
    window, frame = range(6, 12), 8 * 4
    assert 0 <= float(still.latents["latents"].sum()) - sum(window) - frame < 1


def test_the_clip_hears_its_sound_and_the_artifact_keeps_all_of_it() -> None:
    made, engine = run(runs()[1])
    assert engine.sound is not None
    assert engine.sound.held
    assert np.array_equal(made["audio_latents"], first_passes()["v/00001/sample"]["audio_latents"])
    assert made["latents"].shape[2] == 7


def test_without_stills_nothing_is_held() -> None:
    assert [len(run(task)[1].pieces) for task in runs(joint="none")] == [1, 1, 1]


def test_what_only_upsamples_is_the_chain_upsampled(monkeypatch: pytest.MonkeyPatch) -> None:
    task = runs(steps=0)[1]
    monkeypatch.setattr(Recorder, "denoise", None)
    inputs = {"latents": [first_passes()[need.task] for need in task.needs if need.role == "latents"]}
    made = cast("Payload", run_pass(task.params, inputs, cast("Engine", Recorder())))
    assert made["latents"].ravel().tolist() == [100.0 * n for n in range(4, 11)]
