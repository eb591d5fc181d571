"""The tasks of temporal rounds: a canvas behind the second pass, its tiles, and what is decoded of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobs.frames import Span, frames_of, lay_apart
from jobs.planning.params import DecodeParams, EncodeAudio, PassParams, Upsampling
from jobs.planning.plan import make_plan
from jobs.planning.rounds.params import CanvasParams, TileParams
from jobs.tasks.digest import Fingerprint, digests
from tests.jobs.planning.plan_specs import extend, generate, spec_of
from tests.jobs.tasks.test_graph import graph_of, roles

if TYPE_CHECKING:
    from jobs.tasks.task import StageTask, TaskGraph

SOUND = {"sound": [{"generate": True}]}


def rounds_of(*chunks: dict[str, Any], temporal: int = 4, **job: Any) -> TaskGraph:
    return graph_of(*chunks, engine={"name": "fake"}, upscale={"temporal": temporal}, **job)


def decode_of(graph: TaskGraph, name: str) -> DecodeParams:
    params = graph.tasks[name].params
    assert isinstance(params, DecodeParams)
    return params


def needed(task: StageTask, role: str) -> list[str]:
    return [name for other, name in roles(task) if other == role]


def test_a_film_without_rounds_keeps_its_digests() -> None:
    plain = graph_of(generate(), extend(), upscale={"joint": "still"})
    none = graph_of(generate(), extend(), upscale={"joint": "still", "temporal": 0})
    fingerprint = Fingerprint({}, {}, {})
    assert digests(plain, fingerprint) == digests(none, fingerprint)


def test_stills_are_made_in_both_passes() -> None:
    """A Generate of 13 latents, an Extend of 10 more: stretches of 4, and of 4, 3 and 3."""
    graph = rounds_of(generate(num_frames=97), extend(num_new_frames=80, overlap_frames=24))
    passes = {name: task.params for name, task in graph.tasks.items() if isinstance(task.params, PassParams)}
    assert passes["dawn/00000/sample"].slots == (32, 64, 96)
    assert passes["dawn/00001/sample"].slots == (16 + 32, 16 + 56, 16 + 80)
    first, second = passes["dawn/00000/upscale"], passes["dawn/00001/upscale"]
    assert (first.slots, first.keyframes) == ((32, 64), (32, 64, 96))
    assert (second.slots, second.keyframes) == ((32, 56, 80), (0, 32, 56, 80))
    assert first.tokens == (13 + 2) * 32 * 48 + 13 * 16 * 24
    quarter = replace(first, upsampling=Upsampling(spatial=4.0))
    assert quarter.tokens == (13 + 2) * 32 * 48 + 13 * 8 * 12


def test_the_still_of_a_joint_comes_from_the_chunk_before() -> None:
    graph = rounds_of(generate(), extend())
    assert needed(graph.tasks["dawn/00001/upscale"], "keyframes") == ["dawn/00000/sample"]
    assert needed(graph.tasks["dawn/00000/upscale"], "keyframes") == []


def test_a_canvas_waits_for_its_own_chunk_alone() -> None:
    graph = rounds_of(generate(), extend(), extend())
    for chunk in range(3):
        here = f"dawn/{chunk:05d}"
        canvas, second = graph.tasks[f"{here}.r1/upscale"], graph.tasks[f"{here}.r2/upscale"]
        assert roles(canvas) == [("latents", f"{here}/upscale")]
        tiles = [name for name in graph.tasks if name.startswith(f"{here}.r1-t")]
        assert needed(second, "latents") == tiles
        assert needed(second, "carried") == [f"{here}.r1/upscale"]
        assert all(needed(graph.tasks[tile], "canvas") == [f"{here}.r1/upscale"] for tile in tiles)


@pytest.mark.parametrize("temporal", [2, 4])
def test_tiles_make_every_latent_of_the_film_once(temporal: int) -> None:
    chunks = (generate(num_frames=65), extend(num_new_frames=40), extend(num_new_frames=8))
    graph = rounds_of(*chunks, temporal=temporal)
    last = temporal.bit_length() - 1
    made = [
        task.params.made
        for name, task in graph.tasks.items()
        if f".r{last}-t" in name and isinstance(task.params, TileParams)
    ]
    # Each extend makes slot 0 once more.
    assert sum(made) == temporal * 8 + 1 + (temporal * 5 + 1) + (temporal * 1 + 1)
    for task in graph.tasks.values():
        if isinstance(task.params, CanvasParams):
            assert task.params.latents == 2 * sum(task.params.parts) - 1


def test_what_is_decoded_covers_its_context() -> None:
    graph = rounds_of(generate(), *[extend()] * 3, video=SOUND)
    for task in graph.tasks.values():
        if not isinstance(task.params, DecodeParams):
            continue
        context, spans = task.params.window.context, task.params.spans
        assert len(spans) == len(needed(task, "latents"))
        covered = {latent for span in spans for latent in range(span.start, span.stop)}
        assert covered >= set(range(context.start, context.stop))
        assert all(span.start < context.stop and context.start < span.stop for span in spans)


@pytest.mark.parametrize("temporal", [2, 4])
def test_a_chunk_is_decoded_in_windows_of_about_its_base_frames(temporal: int) -> None:
    """97 frames are 13 latents: with context on both sides no more of them than without rounds."""
    chunks = (generate(), *[extend(num_new_frames=96)] * 2)
    graph = rounds_of(*chunks, temporal=temporal, video=SOUND)
    plain = [
        len(task.params.window.context)
        for task in graph_of(*chunks, upscale={"joint": "still"}).tasks.values()
        if isinstance(task.params, DecodeParams)
    ]
    for chunk in range(3):
        names = [f"dawn/{chunk:05d}.w{number}/decode" for number in range(temporal)]
        assert needed(graph.tasks[f"dawn/{chunk:05d}/segment"], "frames") == names
        found = [decode_of(graph, name).window for name in names]
        assert all(len(each.context) <= max(plain) for each in found)
        assert sum(len(each.keep) for each in found) == temporal * 96 + (chunk == 0)


def test_the_first_window_has_the_sound_of_all() -> None:
    graph = rounds_of(generate(), extend(), video=SOUND)
    for task in graph.tasks.values():
        if not isinstance(task.params, DecodeParams):
            continue
        heard = ".w0/" in task.id
        assert needed(task, "sound") == ([f"dawn/{task.chunk:05d}/sample"] if heard else [])
        assert (task.params.sound is not None, task.params.heard is not None) == (heard, heard)
    whole = make_plan(spec_of(generate(), extend(), engine={"name": "fake"}, upscale={"temporal": 4}))
    heard_by = [decode_of(graph, f"dawn/{chunk:05d}.w0/decode").heard for chunk in range(2)]
    assert heard_by == [chunk.window.window for chunk in whole.videos[0].chunks]


def test_a_window_waits_for_the_tiles_that_it_shows_alone() -> None:
    graph = rounds_of(generate(), extend())
    first, last = (needed(graph.tasks[f"dawn/00000.w{number}/decode"], "latents") for number in (0, 3))
    assert "dawn/00000.r2-t3/upscale" not in first
    assert "dawn/00001.r2-t0/upscale" in last
    assert "dawn/00000.r2-t0/upscale" not in last


def test_the_film_has_the_frames_of_its_rounds() -> None:
    """Of N frames of a shot 4 (N - 1) + 1."""
    spec = spec_of(generate(), extend(), generate(), engine={"name": "fake"}, upscale={"temporal": 4})
    video = make_plan(spec).videos[0]
    shots = (97 + 80, 97)
    assert video.frames == sum(4 * (frames - 1) + 1 for frames in shots)
    assert (video.frame_rate, video.base_rate) == (100.0, 25.0)
    owned = [chunk.owned for chunk in video.chunks]
    assert owned == [Span(0, 385), Span(385, 705), Span(705, 1090)]
    assert all(chunk.fade_frames == 0 for chunk in video.chunks)


def test_tiles_hear_their_time_of_the_first_passes_sound() -> None:
    """The sound of an Extend begins with its overlap, 8 frames before slot 0 of its second pass here."""
    graph = rounds_of(generate(), extend(overlap_frames=16), video=SOUND)
    for task in graph.tasks.values():
        if not isinstance(task.params, TileParams):
            continue
        heard, number = task.params.heard, 1 if ".r1-" in task.id else 2
        before_s = 8 / 25 if task.chunk else 0.0
        assert heard.start_s == before_s + task.params.tile.frames.start / (25.0 * 2**number)
        assert heard.seconds == len(task.params.tile.frames) / (25.0 * 2**number)
        assert heard.source_s == frames_of(len(heard.made_for)) / 25.0
        assert needed(task, "sound") == [f"dawn/{task.chunk:05d}/sample"]


def test_tiles_of_a_silent_film_hear_what_the_first_pass_has_made() -> None:
    """The model makes sound beside its pictures also where the film has none."""
    graph = rounds_of(generate(), extend())
    tiles = [task for task in graph.tasks.values() if isinstance(task.params, TileParams)]
    assert len(tiles) == 12
    assert all(needed(task, "sound") == [f"dawn/{task.chunk:05d}/sample"] for task in tiles)


def test_rounds_have_their_own_weights_of_loras() -> None:
    """Left out, that of the second pass."""
    loras = [
        {"path": "/l/style.safetensors", "strength": {"sample": 1.0, "upscale": 0.8}},
        {"path": "/l/detail.safetensors", "strength": {"upscale": 0.5, "rounds": 0.0}},
        {"path": "/l/late.safetensors", "strength": {"rounds": 0.3}},
    ]
    graph = rounds_of(generate(loras=loras), temporal=2)
    found = {
        (kind, tuple(task.params.loras))
        for task in graph.tasks.values()
        for kind in (PassParams, TileParams)
        if isinstance(task.params, kind)
    }
    style, detail, late = (str(lora["path"]) for lora in loras)
    assert found == {
        (PassParams, ((style, 1.0),)),
        (PassParams, ((style, 0.8), (detail, 0.5))),
        (TileParams, ((style, 0.8), (late, 0.3))),
    }


def test_chunks_hear_a_file_at_their_time_of_the_film() -> None:
    """The second shot begins with frame 385 of the film, at 100 frames a second."""
    video = {"sound": [{"file": "score.wav", "mode": "condition"}]}
    graph = rounds_of(generate(), generate("night"), extend(overlap_frames=16), video=video)
    heard = {
        task.chunk: (task.params.start_sample, task.params.frames)
        for task in graph.tasks.values()
        if isinstance(task.params, EncodeAudio)
    }
    at_s = {0: 0.0, 1: 3.85, 2: 3.85 + 8 * 11 / 25}
    assert heard == {chunk: (round(at_s[chunk] * 48000), 97 if chunk < 2 else 89) for chunk in range(3)}


def test_images_stand_at_their_frames_in_every_round() -> None:
    image = {"image": "a.png", "frame": 40}
    graph = rounds_of(generate(images=[image]))
    found = {
        task.id: [use.frame + task.params.tile.frames.start for use in task.params.guides]
        for task in graph.tasks.values()
        if isinstance(task.params, TileParams) and task.params.guides
    }
    assert {frame for name, frames in found.items() if ".r1-" in name for frame in frames} == {80}
    assert {frame for name, frames in found.items() if ".r2-" in name for frame in frames} == {160}
    assert all(len(needed(graph.tasks[name], "guide")) == 1 for name in found)


def test_chunks_that_meet_in_a_held_image_carry_it() -> None:
    held = generate(images=[{"image": "a.png", "frame": -1, "hold": True}])
    graph = rounds_of(held, extend())
    first, second = (graph.tasks[f"dawn/0000{chunk}/upscale"].params for chunk in (0, 1))
    assert isinstance(first, PassParams)
    assert isinstance(second, PassParams)
    assert [guide.frame for guide in first.guides] == [96]
    assert (first.slots, first.keyframes) == ((32, 64), (32, 64, 96))
    assert [guide.frame for guide in second.guides] == [0]
    assert second.keyframes[0] == 0
    assert needed(graph.tasks["dawn/00001/upscale"], "keyframes") == []


def test_no_two_tiles_of_a_film_have_one_seed() -> None:
    graph = rounds_of(generate(), extend(), extend())
    seeds = [task.seed for task in graph.tasks.values() if isinstance(task.params, TileParams)]
    assert len(set(seeds)) == len(seeds) > 12


def test_the_chain_of_the_second_pass_is_as_long_as_the_tiles_are() -> None:
    graph = rounds_of(generate(), extend())
    spans = [graph.tasks[f"dawn/0000{chunk}/sample"].params.span for chunk in (0, 1)]  # type: ignore[union-attr]
    apart = lay_apart(spans)
    for chunk in (0, 1):
        canvas = graph.tasks[f"dawn/0000{chunk}.r1/upscale"].params
        assert isinstance(canvas, CanvasParams)
        assert canvas.parts == (apart[chunk].sampled,)
