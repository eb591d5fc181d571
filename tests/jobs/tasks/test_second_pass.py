"""What a second pass is made of, by what its chunks share."""

from __future__ import annotations

import pytest

from jobs.frames import Span
from jobs.planning.params import DecodeParams, Excerpt, PassParams
from tests.jobs.tasks.test_graph import extend, generate, graph_of, roles


def test_only_a_resampled_end_replaced() -> None:
    """Two latents of overlap: real material guides with both, what was made up with one."""
    graph = graph_of(extend(), extend(), video={"source": {"video": "shot.mp4"}}, upscale={})
    runs = [graph.tasks[f"dawn/0000{number}/upscale"].params for number in (1, 2)]
    assert [run.replaced for run in runs if isinstance(run, PassParams)] == [0, 1]


def test_an_end_that_nothing_resampled_stays() -> None:
    run = graph_of(generate(), extend(), upscale={"steps": 0}).tasks["dawn/00001/upscale"].params
    assert isinstance(run, PassParams)
    assert run.replaced == 0


@pytest.mark.parametrize(
    ("audio", "joint", "second"),
    [("generate", "overlap", "generate"), ("generate", "still", "hold"), (None, "overlap", None)],
)
def test_a_second_pass_makes_sound_anew_where_chunks_are_chained(
    audio: str | None, joint: str, second: str | None
) -> None:
    video = {"sound": [{"generate": True}]} if audio else {}
    graph = graph_of(generate(), video=video, engine={"name": "fake"}, upscale={"joint": joint})
    run = graph.tasks["dawn/00000/upscale"].params
    assert isinstance(run, PassParams)
    assert run.audio_mode == second


@pytest.mark.parametrize("joint", ["still", "none"])
def test_chunks_of_a_second_pass_wait_for_no_other_of_it(joint: str) -> None:
    graph = graph_of(generate(), *[extend()] * 3, upscale={"joint": joint})
    for chunk in range(4):
        needed = {need.task for need in graph.tasks[f"dawn/{chunk:05d}/upscale"].needs}
        assert not any(name.endswith("/upscale") for name in needed)


def test_a_still_is_made_of_the_first_pass_on_both_sides_of_its_joint() -> None:
    """A Generate of 13 latents, Extends of 10: they meet in latents 12 and 22, with 4 more seen before and 1
    behind, as they are when the next chunk is sampled."""
    graph = graph_of(generate(), *[extend()] * 2, upscale={"joint": "still"})
    runs = [graph.tasks[f"dawn/{chunk:05d}/upscale"] for chunk in range(3)]
    made_over = [[task for role, task in roles(run) if role == "latents"] for run in runs]
    assert made_over == [
        [f"dawn/{chunk:05d}/sample" for chunk in near] for near in ((0, 1), (0, 1, 2), (1, 2))
    ]
    spans = [(run.params.span.artifact, run.params.excerpt) for run in runs]  # type: ignore[union-attr]
    first, second, third = Span(0, 13), Span(11, 23), Span(21, 33)
    assert spans == [
        (Span(0, 13), Excerpt((first, second), 0, (12,))),
        (Span(12, 23), Excerpt((first, second, third), 1, (12, 22))),
        (Span(22, 33), Excerpt((second, third), 1, (22,))),
    ]


def test_a_second_pass_by_stills_is_decoded_with_context_on_both_sides_and_no_fade() -> None:
    graph = graph_of(generate(), *[extend()] * 2, upscale={"joint": "still"})
    decode, segment = (graph.tasks[f"dawn/00001/{stage}"] for stage in ("decode", "segment"))
    assert [task for _, task in roles(decode)] == [f"dawn/{chunk:05d}/upscale" for chunk in range(3)]
    assert isinstance(decode.params, DecodeParams)
    assert (decode.params.window.window, decode.params.window.context) == (Span(13, 23), Span(9, 27))
    assert roles(segment) == [("frames", decode.id)]


def test_the_noise_of_a_second_pass_by_stills_is_that_of_its_shot() -> None:
    chunks = [generate(shot="one"), extend(), extend(seed=5), generate(shot="two"), extend()]
    graph = graph_of(*chunks, upscale={"joint": "still"})
    seeds = [graph.tasks[f"dawn/{chunk:05d}/upscale"].seed for chunk in range(5)]
    assert seeds[0] == seeds[1] == seeds[2] != seeds[3] == seeds[4]


def test_images_keep_their_frames_of_the_film_in_a_second_pass_by_stills() -> None:
    """The clip of the second pass begins 8 frames later; where a still is held, no image is."""
    later = extend(images=[{"image": "b.png", "frame": 10}], last_image="c.png")
    graph = graph_of(generate(), later, extend(), upscale={"joint": "still"})
    run = graph.tasks["dawn/00001/upscale"]
    assert [guide.frame for guide in run.params.guides] == [11]  # type: ignore[union-attr]
    assert len([role for role, _ in roles(run) if role == "guide"]) == 1


def test_where_chunks_meet_in_a_held_image_the_second_pass_holds_that_and_no_still() -> None:
    held = generate(images=[{"image": "b.png", "frame": -1, "hold": True}])
    graph = graph_of(held, extend(), extend(), upscale={"joint": "still"})
    runs = [graph.tasks[f"dawn/{chunk:05d}/upscale"] for chunk in range(3)]
    assert [run.params.excerpt.stills for run in runs] == [(), (22,), (22,)]  # type: ignore[union-attr]
    assert [[guide.frame for guide in run.params.guides] for run in runs] == [[96], [0], []]  # type: ignore[union-attr]
    assert [task for role, task in roles(runs[0]) if role == "latents"] == ["dawn/00000/sample"]


def test_what_only_upsamples_holds_no_still() -> None:
    graph = graph_of(generate(), extend(), upscale={"joint": "still", "steps": 0})
    assert graph.tasks["dawn/00001/upscale"].params.excerpt.stills == ()  # type: ignore[union-attr]
