"""Chunks that meet in a held image or clip: places, lengths, windows, chains."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import InputError
from jobs.frames import Span
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.held import longest_chain, longest_without_held
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.planning.planned import ClipCut, PlannedChunk
from jobs.spec.chunk import GuideImage
from jobs.tasks.digest import Fingerprint, digests
from jobs.tasks.graph import build_graph
from tests.jobs.planning.plan_specs import extend, generate, only_video, spec_of

FACTS = SourceFacts(
    videos={"c.mkv": VideoFact(25, 640, 480, 25.0), "long.mkv": VideoFact(60, 640, 480, 25.0)}
)


def still(frame: int = -1, image: str = "a.png", **more: Any) -> dict[str, Any]:
    return {"image": image, "frame": frame, "hold": True, **more}


def clip(frame: int = -17, video: str = "c.mkv") -> dict[str, Any]:
    return {"video": video, "frame": frame, "hold": True}


def guides(chunk: PlannedChunk) -> list[tuple[str, int]]:
    return [(guide.path, guide.frame) for guide in chunk.guides]


def test_both_chunks_hold_the_still_and_the_film_grows_by_one_frame_less_than_the_second_has() -> None:
    video = only_video(spec_of(generate(num_frames=81, images=[still()]), extend(num_new_frames=80)))
    first, second = video.chunks
    assert (guides(first), guides(second)) == ([("a.png", 80)], [("a.png", 0)])
    assert (second.joint, second.continues, second.span.sampled) == ("still", False, 11)
    assert (second.fade_frames, second.owned, video.frames) == (0, Span(81, 161), 161)
    held = [guide for chunk in video.chunks for guide in chunk.guides]
    assert {(guide.strength, guide.image_strength, guide.crf) for guide in held} == {(1.0, 1.0, 0)}


def test_two_stills_on_each_side_stand_8_frames_apart() -> None:
    ends = [still(-9, "before.png"), still()]
    first, second = only_video(
        spec_of(
            generate(num_frames=81, images=ends),
            extend(num_new_frames=80, images=[still(7, "after.png")]),
        )
    ).chunks
    assert guides(first) == [("before.png", 72), ("a.png", 80)]
    assert guides(second) == [("a.png", 0), ("after.png", 8)]


def test_of_a_clip_16_frames_end_a_chunk_and_9_begin_the_next() -> None:
    """Of 25 frames the first is only seen by the encoder; the 17th is both the last of a chunk and the first
    of the next."""
    first, second = only_video(
        spec_of(generate(num_frames=81, images=[clip()]), extend(num_new_frames=80)), FACTS
    ).chunks
    assert [(guide.frame, guide.clip) for guide in first.guides] == [(65, ClipCut(17, 0, 2))]
    assert [(guide.frame, guide.clip) for guide in second.guides] == [(0, ClipCut(9, 16, 2))]


def test_all_whole_latents_of_a_longer_clip_are_held() -> None:
    first, second = only_video(
        spec_of(generate(num_frames=81, images=[clip(-25, "long.mkv")]), extend(num_new_frames=80)), FACTS
    ).chunks
    assert [(guide.frame, guide.clip) for guide in first.guides] == [(57, ClipCut(25, 0, 3))]
    assert [(guide.frame, guide.clip) for guide in second.guides] == [(0, ClipCut(33, 24, 5))]


def test_a_clip_that_was_not_measured_is_not_planned() -> None:
    with pytest.raises(InputError, match="measured"):
        make_plan(spec_of(generate(num_frames=81, images=[clip()]), extend()))


def test_the_chunk_before_is_decoded_with_the_latents_behind_the_joint() -> None:
    first, second = only_video(spec_of(generate(num_frames=81, images=[still()]), extend())).chunks
    assert first.window.window == Span(0, 11)
    assert first.window.context == Span(0, 15)
    assert (second.window.context, second.window.window) == (Span(7, 21), Span(11, 21))


def test_repetitions_share_what_each_of_them_holds() -> None:
    chunks = only_video(spec_of(generate(), extend(repeat=3, images=[still()]))).chunks
    assert [chunk.joint for chunk in chunks] == ["overlap", "overlap", "still", "still"]


def test_a_hard_cut_behind_a_held_image_is_no_joint() -> None:
    first, second = only_video(spec_of(generate(images=[still()]), generate("night"))).chunks
    assert (guides(first), guides(second)) == ([("a.png", 96)], [])
    assert second.index_in_shot == 0


def test_the_longest_chain_is_that_between_held_images() -> None:
    between = [generate(), extend(repeat=3), extend(images=[still()]), extend(repeat=2)]
    video = only_video(spec_of(*between, generate("night")))
    assert (longest_chain(video), longest_without_held(video)) == (5, 7)


def test_seeds_are_those_of_the_chained_film() -> None:
    chained = only_video(spec_of(generate(num_frames=81), extend())).chunks
    held = only_video(spec_of(generate(num_frames=81, images=[still()]), extend())).chunks
    assert [chunk.seed for chunk in held] == [chunk.seed for chunk in chained]


def test_a_guide_image_has_one_file_and_a_video_is_held() -> None:
    for wrong in ({"frame": 0}, {"image": "a", "video": "b", "frame": 0}, {"video": "b", "frame": -17}):
        with pytest.raises(ValueError, match=r"either `image` or `video`|is held"):
            GuideImage.model_validate(wrong)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 12), st.booleans()), min_size=1, max_size=6), st.integers(1, 6))
def test_every_frame_has_one_owner_whatever_is_held(extends: list[tuple[int, bool]], context: int) -> None:
    chunks = [generate(num_frames=97, images=[still()])]
    chunks += [extend(num_new_frames=8 * new, images=[still()] if held else []) for new, held in extends]
    spec = spec_of(*chunks, defaults={"overlap_frames": 8}, decode={"context": context})
    plan = make_plan(spec)
    (video,) = plan.videos
    assert video.frames == 97 + sum(8 * new for new, _ in extends)
    position = 0
    for chunk in video.chunks:
        assert chunk.owned.start == position
        position = chunk.owned.stop
        assert len(chunk.window.keep) == len(chunk.owned) + chunk.fade_frames
    assert position == video.frames
    assert PLAN_FORM.decode(PLAN_FORM.encode(PlanFile(plan))).plan == plan


def test_what_is_held_is_padded_for_both_chunks_and_only_where_the_spec_says_so() -> None:
    def digests_of(**more: Any) -> list[str]:
        chunks = generate(num_frames=81, images=[still(**more)]), extend(num_new_frames=80)
        plan = make_plan(spec_of(*chunks, engine={"name": "fake"}))
        graph = build_graph(plan)
        assert {guide.fit for chunk in plan.videos[0].chunks for guide in chunk.guides} == {
            more.get("fit", "crop")
        }
        return list(digests(graph, Fingerprint({}, {}, {"a.png": "0"})).values())

    assert digests_of() == digests_of(fit="crop")
    assert digests_of() != digests_of(fit="pad")
