"""Shots in seconds: where their chunks begin and end, what they show, and their explicit form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.errors import UsageError
from jobs.loading.load import load_spec
from jobs.parsing.yaml_events import yaml_text
from jobs.planning.explicit import explicit_data
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.planning.planned import ClipCut, PlannedVideo
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.graph import build_graph

FACTS = SourceFacts(videos={"c.mkv": VideoFact(25, 640, 480, 25.0)})


def spec_of(*shots: dict[str, Any], **job: Any) -> JobSpec:
    named = [{"name": f"s{number}", "prompt": "noon", **shot} for number, shot in enumerate(shots)]
    return JobSpec.model_validate({"name": "harbor", "videos": [{"name": "dawn", "shots": named}], **job})


def video_of(*shots: dict[str, Any], **job: Any) -> PlannedVideo:
    return make_plan(spec_of(*shots, **job), FACTS).videos[0]


def all_digests(spec: JobSpec) -> dict[str, str]:
    graph = build_graph(make_plan(spec, FACTS))
    return digests(graph, Fingerprint({}, {}, {path: path for path in input_files(graph)}))


def test_a_shot_lasts_the_nearest_8k_plus_1_frames_and_that_is_said() -> None:
    video = video_of({"seconds": 24}, {"seconds": 3.24}, {"seconds": 0.1})
    assert video.frames == 601 + 81 + 9
    assert video.snaps == ("s0 24 -> 24.04 s", "s2 0.1 -> 0.36 s")


def test_a_shot_with_rounds_lasts_as_long_as_its_film_and_that_is_said() -> None:
    """A shot of N frames has 2 (N - 1) + 1 at twice the rate: 25 become 49, and of 97 193."""
    upscale = {"temporal": 2}
    shots = {"seconds": 1.0}, {"seconds": 3.88, "beats": [{"at": 1.0, "prompt": "fog"}]}
    assert video_of(*shots).snaps == ()
    video = video_of(*shots, upscale=upscale)
    assert (video.frames, video.frame_rate) == (49 + 193, 50.0)
    assert video.snaps == ("s0 1 -> 0.98 s", "s1 3.88 -> 3.86 s, beat 1 -> 0.98 s")


def test_chunks_are_no_longer_than_defaults_say_and_about_equal() -> None:
    chunks = video_of({"seconds": 24}, defaults={"num_frames": 97, "num_new_frames": 80}).chunks
    assert [chunk.kind for chunk in chunks] == ["generate", *["extend"] * 7]
    assert {chunk.span.new for chunk in chunks} <= {8, 9, 10, 11, 12, 13}
    assert max(chunk.span.new for chunk in chunks[1:]) <= 10
    assert max(c.span.new for c in chunks[1:]) - min(c.span.new for c in chunks[1:]) <= 1


def test_a_beat_changes_the_prompt_where_a_chunk_begins() -> None:
    """12 s are frame 300; the latent whose first frame is the nearest begins with frame 297."""
    video = video_of({"seconds": 24, "beats": [{"at": 12, "prompt": "fog"}]})
    fog = [chunk for chunk in video.chunks if chunk.prompt == "fog"]
    assert [chunk.index for chunk in fog] == list(range(fog[0].index, len(video.chunks)))
    assert fog[0].span.stop - fog[0].span.new == 38
    assert video.snaps == ("s0 24 -> 24.04 s, beat 12 -> 11.88 s",)


def test_a_held_image_splits_the_chain_at_its_frame() -> None:
    video = video_of({"seconds": 9.6, "images": [{"at": 4.8, "image": "a.png", "hold": True}]})
    (joint,) = [chunk for chunk in video.chunks if chunk.joint == "still"]
    before = video.chunks[joint.index - 1]
    assert joint.owned.start == 121
    assert [(guide.path, guide.frame) for guide in joint.guides] == [("a.png", 0)]
    assert before.guides[-1].frame == 8 * (before.span.sampled - 1)


def test_of_three_stills_8_frames_apart_the_middle_one_is_the_joint() -> None:
    stills = [{"at": at, "image": f"{at}.png", "hold": True} for at in (2.88, 3.2, 3.52)]
    first, second = video_of({"seconds": 6.44, "images": stills}).chunks
    assert [(guide.path, guide.frame) for guide in first.guides] == [("2.88.png", 72), ("3.2.png", 80)]
    assert [(guide.path, guide.frame) for guide in second.guides] == [("3.2.png", 0), ("3.52.png", 8)]


def test_stills_at_the_ends_of_a_shot_cut_nothing() -> None:
    stills = [{"at": at, "image": f"{at}.png", "hold": True} for at in (0, 0.32, 2.92, 3.24)]
    (only,) = video_of({"seconds": 3.24, "images": stills}).chunks
    assert [guide.frame for guide in only.guides] == [0, 8, 72, 80]


def test_a_held_clip_begins_where_it_is_asked_to() -> None:
    clip = {"at": 2.56, "video": "c.mkv", "hold": True}
    first, second = video_of({"seconds": 6.44, "images": [clip]}).chunks
    assert [(guide.frame, guide.clip) for guide in first.guides] == [(65, ClipCut(17, 0, 2))]
    assert [(guide.frame, guide.clip) for guide in second.guides] == [(0, ClipCut(9, 16, 2))]


def test_an_image_that_is_not_held_stands_at_its_own_frame() -> None:
    video = video_of({"seconds": 6.44, "images": [{"at": 5, "image": "a.png"}, {"at": 0, "image": "b.png"}]})
    found = [
        (chunk.index, 8 * (chunk.span.stop - chunk.span.sampled) + guide.frame, guide.path)
        for chunk in video.chunks
        for guide in chunk.guides
    ]
    assert found == [(0, 0, "b.png"), (1, 125, "a.png")]


def test_settings_of_a_shot_are_those_of_its_chunks() -> None:
    video = video_of({"seconds": 12, "steps": 7, "negative": "blurry"}, defaults={"steps": 9})
    assert {(chunk.sampling.steps, chunk.negative) for chunk in video.chunks} == {(7, "blurry")}


def test_overlaps_are_no_longer_than_the_chunk_before_allows() -> None:
    beats = [{"at": 3.24, "prompt": "a"}, {"at": 3.56, "prompt": "b"}]
    video = video_of({"seconds": 6.44, "beats": beats}, defaults={"overlap_frames": 64})
    assert [chunk.span.overlap for chunk in video.chunks] == [0, 8, 2]


TWO_PASSES: dict[str, Any] = {"upscale": {}}


def test_a_moved_shot_samples_nothing_again() -> None:
    shots = [{"seconds": 6, "name": name, "prompt": name} for name in ("a", "b", "c")]
    before, after = (
        set(all_digests(spec_of(*order, **TWO_PASSES)).values()) for order in (shots, shots[::-1])
    )
    assert before == after


def test_a_shot_with_a_seed_is_renamed_and_nothing_is_sampled_again() -> None:
    def sampled(shot: dict[str, Any]) -> set[str]:
        found = all_digests(spec_of(shot, {"seconds": 2}, **TWO_PASSES))
        return {digest for task, digest in found.items() if task.endswith(("sample", "upscale"))}

    old, new = ({"seconds": 9, "name": name, "seed": 42} for name in ("old", "new"))
    assert sampled(old) == sampled(new)
    del old["seed"], new["seed"]
    assert sampled(old) != sampled(new)


def test_another_job_seed_leaves_a_shot_with_a_seed_as_it_is() -> None:
    shot = {"seconds": 9, "seed": 42}
    one, two = (video_of(shot, defaults={"seed": seed}) for seed in (1, 2))
    assert [chunk.seed for chunk in one.chunks] == [chunk.seed for chunk in two.chunks]
    assert len({chunk.seed for chunk in one.chunks}) == len(one.chunks) > 1


def test_a_matrix_over_what_divides_shots_has_no_one_explicit_form() -> None:
    with pytest.raises(UsageError, match="num_new_frames"):
        explicit_data(spec_of({"seconds": 9}, matrix={"num_new_frames": [40, 80]}))


@st.composite
def some_shots(draw: st.DrawFn) -> list[dict[str, Any]]:
    shots = []
    for number in range(draw(st.integers(1, 3))):
        seconds = draw(st.floats(0.5, 30))
        times = draw(st.lists(st.integers(1, 9), max_size=3, unique=True))
        images = draw(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=4))
        shot: dict[str, Any] = {
            "seconds": seconds,
            "beats": [{"at": tenth * seconds / 10, "prompt": f"beat {tenth}"} for tenth in times],
            "images": [{"at": at * seconds, "image": f"{at}.png", "hold": hold} for at, hold in images],
        }
        shots.append({**shot, "seed": number} if draw(st.booleans()) else shot)
    return shots


@settings(max_examples=80, deadline=None)
@given(some_shots(), st.sampled_from([8, 16, 24, 64]), st.sampled_from([23.976, 24.0, 25.0, 60.0]))
def test_the_explicit_form_has_the_same_digests_and_every_frame_one_owner(
    shots: list[dict[str, Any]], overlap: int, rate: float
) -> None:
    spec = spec_of(*shots, defaults={"overlap_frames": overlap, "frame_rate": rate}, **TWO_PASSES)
    (video,) = make_plan(spec).videos
    position = 0
    for chunk in video.chunks:
        assert chunk.owned.start == position
        position = chunk.owned.stop
    assert position == video.frames
    wanted = sum(shot["seconds"] * rate for shot in shots)
    assert abs(video.frames - wanted) <= 9 * len(shots)
    explicit = JobSpec.model_validate(explicit_data(spec))
    assert not explicit.videos[0].shots
    assert all_digests(explicit) == all_digests(spec)


def test_the_example_has_six_shots_and_an_explicit_form() -> None:
    loaded = load_spec(Path(__file__).parents[3] / "examples" / "film.yaml")
    assert len(loaded.spec.videos[0].shots) == 6
    explicit = JobSpec.model_validate(explicit_data(loaded.spec))
    assert all_digests(explicit) == all_digests(loaded.spec)


def test_a_spec_of_12_shots_is_at_most_half_as_long_as_its_explicit_form() -> None:
    spec = spec_of(*({"seconds": 7.5} for _ in range(12)))
    short = yaml_text(spec.model_dump(mode="json", exclude_unset=True))
    assert len(short.splitlines()) <= 0.5 * len(yaml_text(explicit_data(spec)).splitlines())
