"""Parts of a source that are made anew: which latents, what is held around them, who owns which frames."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from jobs.advice.notices import notices
from jobs.frames import Span, frames_of, frames_of_latents, latents_of
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.planning.retakes.layout import asked_frames, fades, widened
from jobs.planning.seeds import derive_seed
from jobs.spec.job import JobSpec
from jobs.spec.retake import Retake
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.planning.planned import PlannedVideo

FACTS = SourceFacts(videos={"shot.mp4": VideoFact(300, 640, 480, 25.0, sound_start_s=0.0)})


def spec_of(*retakes: dict[str, Any], **video: Any) -> JobSpec:
    only = {"name": "dawn", "source": {"video": "shot.mp4"}, "retakes": [*retakes], **video}
    return JobSpec.model_validate({"name": "harbor", "videos": [only]})


def retake(start: int | str, stop: int | str, **more: Any) -> dict[str, Any]:
    return {"start": start, "stop": stop, "prompt": "rain", **more}


def film_of(*retakes: dict[str, Any], **video: Any) -> PlannedVideo:
    return make_plan(spec_of(*retakes, **video), FACTS).videos[0]


@pytest.mark.parametrize(
    ("start", "stop", "asked", "made"),
    [
        (0, 1, Span(0, 1), Span(0, 1)),
        (0, 2, Span(0, 2), Span(0, 2)),
        (1, 9, Span(1, 9), Span(1, 2)),
        (8, 9, Span(8, 9), Span(1, 2)),
        (9, 10, Span(9, 10), Span(2, 3)),
        (48, 97, Span(48, 97), Span(6, 13)),
        ("1.6s", "3.2s", Span(40, 80), Span(5, 11)),
        ("1.61 s", "3.21s", Span(40, 81), Span(5, 11)),
        ("1s", 40, Span(25, 40), Span(4, 6)),
    ],
)
def test_a_part_is_widened_to_whole_latents(start: Any, stop: Any, asked: Span, made: Span) -> None:
    """Latent 0 is one frame, every other eight."""
    given = Retake(start=start, stop=stop)
    assert asked_frames(given, 25.0) == asked
    assert widened(asked, 38) == made
    assert frames_of_latents(made).covers(asked)


def test_a_time_means_the_frame_that_is_shown_then() -> None:
    assert asked_frames(Retake(start="1s", stop="2s"), 23.976) == Span(23, 48)


def test_the_film_is_the_source_in_parts() -> None:
    film = film_of(retake("4s", "5s"))
    assert film.frames == 297
    assert [(chunk.kind, chunk.owned) for chunk in film.chunks] == [
        ("kept", Span(0, 89)),
        ("retake", Span(89, 137)),
        ("kept", Span(137, 233)),
        ("kept", Span(233, 297)),
    ]
    part = film.chunks[1].retake
    assert part is not None
    assert (part.asked, part.made) == (Span(100, 125), Span(13, 17))
    assert fades(part) == (8, 8)


def test_as_much_is_held_around_a_part_as_is_sampled_together() -> None:
    part = film_of(retake("4s", "5s")).chunks[1].retake
    assert part is not None
    assert (part.made, part.clip) == (Span(13, 17), Span(8, 21))
    shorter = film_of(retake("4s", "5s", num_frames=65)).chunks[1].retake
    assert shorter is not None
    assert shorter.clip == Span(10, 19)


@pytest.mark.parametrize(
    ("start", "stop", "clip", "around"),
    [(0, 30, Span(0, 13), (0, 8)), (1, 30, Span(0, 13), (1, 8)), (270, 300, Span(25, 38), (8, 0))],
)
def test_at_the_ends_of_a_source_there_is_less_to_hold(
    start: int, stop: int, clip: Span, around: tuple[int, int]
) -> None:
    film = film_of(retake(start, stop))
    (part,) = [chunk.retake for chunk in film.chunks if chunk.retake]
    assert (part.clip, fades(part)) == (clip, around)


def test_a_whole_clip_may_be_made_anew() -> None:
    film = film_of(retake(0, "12s", num_frames=297))
    assert [(chunk.kind, chunk.owned) for chunk in film.chunks] == [("retake", Span(0, 297))]


def test_every_frame_has_one_chunk_whatever_is_made_anew() -> None:
    for first, second in itertools.combinations(range(0, 290, 13), 2):
        if second - first < 48:
            continue
        film = film_of(retake(second, second + 9), retake(first, first + 25))
        ends = [chunk.owned for chunk in film.chunks]
        assert ends[0].start == 0
        assert ends[-1].stop == film.frames
        assert all(one.stop == other.start for one, other in itertools.pairwise(ends))
        parts = [chunk.retake for chunk in film.chunks if chunk.retake]
        for part in parts:
            assert part.clip.covers(part.shown)
            assert part.shown.covers(part.made)
            assert len(part.clip) <= 13
        assert not any(
            max(a.made.start, b.clip.start) < min(a.made.stop, b.clip.stop)
            for a, b in itertools.permutations(parts, 2)
        ), "what one makes anew is not held by another"


def test_what_is_decoded_is_what_is_owned() -> None:
    for start in range(0, 280, 7):
        film = film_of(retake(start, start + 17))
        (chunk,) = [chunk for chunk in film.chunks if chunk.retake]
        window = chunk.window
        assert len(window.keep) == len(chunk.owned)
        assert frames_of(len(window.context)) >= window.keep.stop
        assert chunk.span.artifact.covers(window.context)


def test_where_pictures_stay_no_frame_is_decoded() -> None:
    spec = spec_of(retake("4s", "5s", picture=False), sound=[{"generate": True}])
    task = build_graph(make_plan(spec, FACTS)).tasks["dawn/00001/decode"]
    params: Any = task.params
    assert (params.window.context, params.window.keep) == (Span(0, 0), Span(0, 0))
    assert params.window.window == Span(4, 10), "what is heard"
    assert (task.bytes_estimate, task.without) == (0, "pictures")


def test_long_parts_that_stay_are_read_piece_by_piece() -> None:
    facts = SourceFacts(videos={"shot.mp4": VideoFact(2000, 640, 480, 25.0)})
    film = make_plan(spec_of(retake(1900, 1910)), facts).videos[0]
    assert max(len(chunk.owned) for chunk in film.chunks if chunk.kind == "kept") == 96


def test_the_last_frames_of_a_source_may_be_taken_alone() -> None:
    film = film_of(retake(0, 8), source={"video": "shot.mp4", "last_frames": 97})
    assert film.frames == 97
    kept = film.chunks[-1]
    assert kept.source is not None
    assert kept.source.skip_frames == 203 + kept.owned.start


def test_with_a_seed_of_its_own_a_retake_has_the_same_noise_wherever_it_stands() -> None:
    """Its decode has not, nor its digest: it stands in other frames."""

    def planned(start: str, stop: str, **more: Any) -> tuple[Any, Any, str]:
        spec = spec_of(retake(start, stop, **more))
        tasks = build_graph(make_plan(spec, FACTS)).tasks
        index = next(index for index in range(9) if f"dawn/{index:05d}/sample" in tasks)
        sample, decode = (f"dawn/{index:05d}/{stage}" for stage in ("sample", "decode"))
        return tasks[sample].params, tasks[decode].params, made(spec)[sample]

    one, other = planned("3.2s", "4.48s", seed=7), planned("6.4s", "7.68s", seed=7)
    assert one[0] == other[0]
    assert one[1] == replace(other[1], seed=one[1].seed) != other[1]
    assert one[2] != other[2]
    assert planned("3.2s", "4.48s")[0].seed != planned("6.4s", "7.68s")[0].seed


def test_the_latents_of_a_clip_are_counted_from_its_own_start() -> None:
    film = film_of(retake("4s", "5s"))
    graph = build_graph(make_plan(spec_of(retake("4s", "5s")), FACTS))
    params: Any = graph.tasks["dawn/00001/sample"].params
    assert params.span == film.chunks[1].span
    assert (params.span.overlap, params.span.new, params.span.stop) == (0, 13, 13)
    assert params.retake.made == Span(5, 9)
    (source,) = [need.task for need in graph.tasks["dawn/00001/sample"].needs if need.role == "source"]
    encoded: Any = graph.tasks[source].params
    assert (encoded.skip_frames, encoded.frames, latents_of(encoded.frames)) == (64, 97, 13)


def test_seeds_follow_from_what_is_made_anew() -> None:
    one = film_of(retake("4s", "5s"))
    two = film_of(retake("1s", "1.2s"), retake("4s", "5s", prompt="snow"))
    assert one.chunks[1].seed == two.chunks[3].seed == derive_seed(0, "dawn", "retake", 13, 17, "sample")
    assert film_of(retake("4s", "5s", seed=7)).chunks[1].seed == 7


@pytest.mark.parametrize(
    ("sound", "own", "mode", "made"),
    [
        ([], {}, None, False),
        ([{"generate": True}], {}, "generate", True),
        ([{"generate": True}], {"sound": False}, "hold", False),
        ([{"generate": True}], {"picture": False}, "generate", True),
        ([{"file": "shot.mp4"}], {}, None, False),
        ([{"file": "shot.mp4", "mode": "condition"}], {}, "condition", False),
    ],
)
def test_sound_is_made_held_or_left_alone(
    sound: list[Any], own: dict[str, Any], mode: str | None, made: bool
) -> None:
    graph = build_graph(make_plan(spec_of(retake("4s", "5s", **own), sound=sound), FACTS))
    sample: Any = graph.tasks["dawn/00001/sample"]
    decode: Any = graph.tasks["dawn/00001/decode"].params
    assert (sample.params.audio_mode, sample.params.retake.sound, decode.sound is not None) == (
        mode,
        made,
        made,
    )
    heard = {need.role for need in sample.needs}
    assert ("audio" in heard) == (mode == "condition")
    segments: list[Any] = [task.params for task in graph.tasks.values() if task.id.endswith("segment")]
    assert {params.audio for params in segments} == {sound == [{"generate": True}]}


def made(spec: JobSpec) -> dict[str, str]:
    """The digests of its tasks."""
    graph = build_graph(make_plan(spec, FACTS))
    files = dict.fromkeys(input_files(graph), "0")
    return digests(graph, Fingerprint({}, {}, files))


def test_settings_of_what_a_retake_has_not_change_nothing() -> None:
    given = spec_of(retake("4s", "5s"))
    settings = {"crf": 1, "image_strength": 0.5, "last_strength": 0.5, "overlap_strength": 0.5}
    defaults = given.defaults.model_copy(update=settings)
    assert made(given.model_copy(update={"defaults": defaults})) == made(given)


def test_a_retake_is_rendered_again_alone_when_its_prompt_changes() -> None:
    before, after = (made(spec_of(retake("4s", "5s", prompt=text))) for text in ("rain", "snow"))
    changed = {task for task in before if before[task] != after.get(task)}
    assert {task for task in changed if not task.startswith("encode")} == {
        "dawn/00001/sample",
        "dawn/00001/decode",
        "dawn/00001/segment",
    }


def test_what_becomes_of_it_is_said() -> None:
    plan = make_plan(spec_of(retake("4.02s", "5s"), sound=[{"file": "shot.mp4"}]), FACTS)
    lines = notices(plan, FACTS)
    assert lines == (
        "dawn: retakes[0] makes pictures of frames 97 to 128 anew, from frames 100 to 124 widened to whole "
        "latents; frames 89 to 96 and 129 to 136 fade into them, all others stay as they are. 97 frames, 64 "
        "to 160, are sampled together",
        "dawn: the last 3 frames of shot.mp4 are left out: its film ends with a whole latent, after 297 "
        "frames",
    )
