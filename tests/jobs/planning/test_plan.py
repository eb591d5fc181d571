"""Plans: what a spec unrolls to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.frames import Span, frames_of_latents
from jobs.planning.choices import with_overrides
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.planning.seeds import derive_seed
from tests.jobs.planning.plan_specs import extend, generate, only_video, spec_of

if TYPE_CHECKING:
    from jobs.planning.planned import Plan


@st.composite
def shots(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Legal chunk lists: shots of a generate and extends."""
    chunks: list[dict[str, Any]] = []
    for shot in range(draw(st.integers(1, 3))):
        latents = draw(st.integers(2, 14))
        chunks.append(generate(f"shot {shot}", num_frames=8 * (latents - 1) + 1))
        limit = latents
        for _ in range(draw(st.integers(0, 3))):
            new = draw(st.integers(1, 12))
            overlap = draw(st.integers(1, limit))
            repeat = draw(st.integers(1, 3)) if overlap <= new + 1 else 1
            chunks.append(extend(num_new_frames=8 * new, overlap_frames=8 * overlap, repeat=repeat))
            limit = new + 1
    return chunks


def spoken_frames(chunks: list[dict[str, Any]]) -> int:
    """The film's length as the spec says it."""
    generates = sum(chunk["generate"]["num_frames"] for chunk in chunks if "generate" in chunk)
    extends = [chunk["extend"] for chunk in chunks if "extend" in chunk]
    return generates + sum(chunk["num_new_frames"] * chunk["repeat"] for chunk in extends)


@settings(max_examples=60, deadline=None)
@given(shots(), st.sampled_from(["crossfade", "lag"]), st.integers(1, 6))
def test_a_film_is_as_long_as_the_spec_says_and_every_frame_has_one_owner(
    chunks: list[dict[str, Any]], seam: str, context: int
) -> None:
    spec = spec_of(*chunks, decode={"seam": seam, "context": context})
    video = only_video(spec)
    assert video.frames == spoken_frames(chunks)
    position = 0
    for index, chunk in enumerate(video.chunks):
        assert chunk.index == index
        assert chunk.owned.start == position
        position = chunk.owned.stop
        assert (chunk.fade_frames > 0) <= (chunk.index_in_shot > 0 and seam == "crossfade")
        assert chunk.fade_frames <= len(chunk.owned)
        assert (
            len(chunk.window.keep) == len(frames_of_latents(chunk.window.window)) or not chunk.window.window
        )
    assert position == video.frames
    plan = make_plan(spec)
    assert PLAN_FORM.decode(PLAN_FORM.encode(PlanFile(plan))).plan == plan


def test_repeat_unrolls_and_a_generate_cuts() -> None:
    video = only_video(spec_of(generate(), extend(repeat=20), generate("night")))
    assert [chunk.shot for chunk in video.chunks] == [0] * 21 + [1]
    assert [chunk.index_in_shot for chunk in video.chunks] == [*range(21), 0]
    assert video.frames == 97 + 20 * 80 + 97
    assert video.chunks[20].place == "videos[0].chunks[1].extend"
    assert video.chunks[21].owned == Span(97 + 1600, video.frames)


def test_chunks_override_defaults() -> None:
    defaults = {"steps": 8, "cfg": 2.0, "negative": "blurry", "ffn_chunks": 4}
    video = only_video(spec_of(generate(steps=30), extend(), defaults=defaults))
    assert [chunk.sampling.steps for chunk in video.chunks] == [30, 8]
    assert [chunk.sampling.cfg for chunk in video.chunks] == [2.0, 2.0]
    assert {chunk.negative for chunk in video.chunks} == {"blurry"}
    assert {chunk.ffn_chunks for chunk in video.chunks} == {4}


def test_a_value_written_out_wins_even_where_it_is_the_usual_one() -> None:
    video = only_video(spec_of(generate(steps=20), defaults={"steps": 8}))
    assert video.chunks[0].sampling.steps == 20


def test_the_defaults_of_the_nodes() -> None:
    chunk = only_video(spec_of(generate(first_image="a.png"))).chunks[0]
    assert (chunk.sampling.max_shift, chunk.sampling.base_shift) == (2.05, 0.95)
    assert (chunk.sampling.steps, chunk.sampling.cfg) == (20, 3.0)
    assert (chunk.sampling.sampler, chunk.sampling.guider.name) == ("euler", "cfg")
    assert (chunk.guides[0].strength, chunk.guides[0].image_strength, chunk.guides[0].crf) == (1.0, 0.95, 35)


def test_guides_stand_at_first_middle_and_last_frame() -> None:
    images = {"first_image": "a.png", "middle_image": "b.png", "last_image": "c.png"}
    video = only_video(spec_of(generate(**images, middle_strength=0.5), extend(last_image="d.png")))
    assert [(g.path, g.frame, g.strength) for g in video.chunks[0].guides] == [
        ("a.png", 0, 1.0),
        ("b.png", 48, 0.5),
        ("c.png", 96, 1.0),
    ]
    assert [(g.path, g.frame) for g in video.chunks[1].guides] == [("d.png", 88)]


def test_images_stand_at_frames_of_their_chunk() -> None:
    """An extend of 80 frames over 16 begins at frame 9 of its clip, and -1 is the last of both."""
    images = [{"image": "z.png", "frame": -1}, {"image": "x.png", "frame": 3, "strength": 0.5}]
    video = only_video(spec_of(generate(images=images, first_image="a.png"), extend(images=images)))
    assert [(g.path, g.frame, g.strength) for g in video.chunks[0].guides] == [
        ("a.png", 0, 1.0),
        ("x.png", 3, 0.5),
        ("z.png", 96, 1.0),
    ]
    assert [(g.path, g.frame) for g in video.chunks[1].guides] == [("x.png", 12), ("z.png", 88)]


def test_upscale_doubles_the_film() -> None:
    video = only_video(spec_of(generate(), upscale={}))
    assert (video.base_width, video.base_height, video.width, video.height) == (768, 512, 1536, 1024)


@pytest.mark.parametrize(
    ("upscale", "sigmas", "steps"),
    [
        ({}, (0.909375, 0.725, 0.421875, 0.0), 3),
        ({"cfg": 1.0}, (0.909375, 0.725, 0.421875, 0.0), 3),
        ({"sigmas": "distilled"}, (0.909375, 0.725, 0.421875, 0.0), 3),
        ({"steps": 8}, None, 8),
        ({"denoise": 0.3}, None, 10),
        ({"sigmas": [0.8, 0.0]}, (0.8, 0.0), 1),
    ],
)
def test_a_second_pass_starts_where_the_references_start(
    upscale: dict[str, Any], sigmas: tuple[float, ...] | None, steps: int
) -> None:
    plan = make_plan(spec_of(generate(), upscale=upscale)).upscale
    assert plan is not None
    assert (plan.sampling.sigmas, plan.sampling.steps_run) == (sigmas, steps)


def test_distilled_levels_become_numbers() -> None:
    sampling = only_video(spec_of(generate(sigmas="distilled"))).chunks[0].sampling
    assert sampling.sigmas == (1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0)
    assert sampling.steps_run == 8


def test_a_video_may_have_its_own_size_and_rate() -> None:
    video = only_video(spec_of(generate(), video={"width": 256, "height": 320, "frame_rate": 24.0}))
    assert (video.width, video.height, video.frame_rate) == (256, 320, 24.0)
    assert video.seconds == 97 / 24


def test_the_matrix_makes_one_video_per_combination() -> None:
    plan = make_plan(spec_of(generate("a {thing}"), matrix={"seed": [7, 8], "thing": ["cat", "tall dog"]}))
    assert [video.name for video in plan.videos] == [
        "dawn-seed-7-thing-cat",
        "dawn-seed-7-thing-tall-dog",
        "dawn-seed-8-thing-cat",
        "dawn-seed-8-thing-tall-dog",
    ]
    assert plan.videos[1].chunks[0].prompt == "a tall dog"
    assert plan.videos[1].combination == (("seed", "7"), ("thing", "tall dog"))
    assert plan.videos[1].output == "dawn-seed-7-thing-tall-dog.mp4"


def test_matrix_values_that_spell_alike_are_numbered() -> None:
    plan = make_plan(spec_of(generate("a {x}"), matrix={"x": ["one?", "one!", "two"]}))
    assert [video.name for video in plan.videos] == ["dawn-x_1", "dawn-x_2", "dawn-x-two"]


def test_only_the_seed_of_a_matrix_changes_the_noise() -> None:
    plan = make_plan(spec_of(generate("a {x}"), matrix={"seed": [1, 2], "x": ["p", "q"], "steps": [5, 6]}))
    seeds = [video.chunks[0].seed for video in plan.videos]
    assert len(set(seeds[:4])) == len(set(seeds[4:])) == 1
    assert seeds[0] != seeds[4]


def test_braces_outside_the_matrix_are_left_alone() -> None:
    plan = make_plan(spec_of(generate("a {thing} in {brackets}"), matrix={"thing": ["cat"]}))
    assert plan.videos[0].chunks[0].prompt == "a cat in {brackets}"


def seeds_by_prompt(plan: Plan) -> dict[tuple[str, int], int]:
    return {(c.prompt, c.index_in_shot): c.seed for video in plan.videos for c in video.chunks}


def test_a_shot_inserted_anywhere_leaves_every_other_seed() -> None:
    before = [generate("a"), extend("a2"), generate("b"), extend("b2")]
    after = [generate("new"), generate("a"), extend("a2"), generate("mid"), generate("b"), extend("b2")]
    old, new = seeds_by_prompt(make_plan(spec_of(*before))), seeds_by_prompt(make_plan(spec_of(*after)))
    assert {key: new[key] for key in old} == old


def test_shots_of_one_prompt_differ() -> None:
    video = only_video(spec_of(generate("a"), generate("a")))
    assert video.chunks[0].seed != video.chunks[1].seed


def test_a_named_shot_keeps_its_seeds_while_its_prompt_is_edited() -> None:
    one = only_video(spec_of(generate("a", shot="noon"), extend("x")))
    two = only_video(spec_of(generate("b", shot="noon"), extend("y")))
    assert [chunk.seed for chunk in one.chunks] == [chunk.seed for chunk in two.chunks]


def test_an_explicit_seed_is_literal_and_its_repetitions_derive_from_it() -> None:
    video = only_video(spec_of(generate(seed=5), extend(seed=9, repeat=3)))
    other = only_video(spec_of(generate(seed=5), extend(seed=9, repeat=3), defaults={"seed": 77}))
    assert [video.chunks[0].seed, video.chunks[1].seed] == [5, 9]
    assert len({chunk.seed for chunk in video.chunks}) == 4
    assert video.chunks == other.chunks


def test_stages_have_seeds_of_their_own() -> None:
    chunk = only_video(spec_of(generate())).chunks[0]
    assert len({chunk.seed, chunk.upscale_seed, chunk.decode_seed}) == 3
    assert all(0 <= seed < 2**63 for seed in (chunk.seed, chunk.upscale_seed, chunk.decode_seed))


def test_the_golden_seed() -> None:
    assert (
        derive_seed(0, "dawn", "prompt:noon", 0, "sample") == only_video(spec_of(generate())).chunks[0].seed
    )
    assert derive_seed(7, "dawn", "prompt:noon", 0, "sample") == 7561444844033048309


def test_reseeding_changes_one_chunk() -> None:
    plan = make_plan(spec_of(generate(), extend()))
    changed = with_overrides(plan, {("dawn", plan.videos[0].chunks[1].decode_seed): 42}, {})
    assert changed.videos[0].chunks[1].seed == 42
    assert changed.videos[0].chunks[0] == plan.videos[0].chunks[0]


def test_a_new_seed_stays_with_its_chunk() -> None:
    plan = make_plan(spec_of(generate(), extend()))
    seeds = {("dawn", plan.videos[0].chunks[1].decode_seed): 42}
    longer = make_plan(spec_of(generate("morning"), extend("dew"), generate(), extend(), extend()))
    assert [c.index for c in with_overrides(longer, seeds, {}).videos[0].chunks if c.seed == 42] == [3]
    other = make_plan(spec_of(generate(), extend(seed=9)))
    assert with_overrides(other, seeds, {}).videos[0].chunks[1].seed == 9


@pytest.mark.parametrize(
    ("container", "output"), [("mp4", "dawn.mp4"), ("mkv", "dawn.mkv"), ("png-sequence", "dawn")]
)
def test_films_are_named_after_their_video(container: str, output: str) -> None:
    assert only_video(spec_of(generate(), output={"container": container})).output == output


def test_resolved_modes_survive_the_file() -> None:
    plan = make_plan(spec_of(generate())).resolve({"attention_mode": "default"})
    kept = PLAN_FORM.decode(PLAN_FORM.encode(PlanFile(plan))).plan
    assert kept.resolved == (("attention_mode", "default"),)
