"""Takes are films of one shot; the picked one's tasks are those of the film, and nothing else changes."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from farm.session.selection import to_compute
from jobs.frames import audio_sample
from jobs.planning.choices import with_drafts, with_overrides, with_picks
from jobs.planning.explicit import explicit_data
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.duplicates import find_duplicates
from jobs.tasks.graph import build_graph
from jobs.tasks.retry import Selection, plan_retry
from jobs.tasks.task import Stage
from tests.jobs.planning.plan_specs import extend, generate, spec_of

if TYPE_CHECKING:
    from jobs.planning.planned import Plan

SHOTS = ("a", "b", "c", "d", "e")
JOB: dict[str, Any] = {
    "defaults": {
        "width": 64, "height": 64, "steps": 1, "num_frames": 17, "num_new_frames": 16, "overlap_frames": 16
    },
}  # fmt: skip
WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "overlap": {"upscale": {"steps": 1}},
    "still": {"upscale": {"steps": 1, "joint": "still"}},
    "rounds": {"engine": {"name": "fake"}, "upscale": {"temporal": 2}},
    "lag": {"decode": {"seam": "lag"}},
    "generated": {"upscale": {"steps": 1}, "video": {"sound": [{"generate": True}]}},
    "conditioned": {"video": {"sound": [{"file": "speech.wav", "mode": "condition"}]}},
    "source": {"video": {"source": {"video": "old.mp4"}}},
}
FACTS = SourceFacts(videos={"old.mp4": VideoFact(25, 64, 64, 25.0)})


def film(takes: dict[str, int], **job: Any) -> JobSpec:
    """Five shots of three chunks each."""
    video = {"name": "dawn", "shots": [shot(name, takes.get(name)) for name in SHOTS], **job.pop("video", {})}
    return JobSpec.model_validate({"name": "harbor", "videos": [video], **JOB, **job})


def shot(name: str, takes: int | None) -> dict[str, Any]:
    return {"name": name, "seconds": 1.8, "prompt": f"shot {name}", **({"takes": takes} if takes else {})}


def known(plan: Plan) -> dict[str, str]:
    graph = build_graph(plan)
    return digests(graph, Fingerprint({}, {}, {path: path for path in input_files(graph)}))


def of_video(name: str, every: dict[str, str]) -> dict[str, str]:
    return {task: digest for task, digest in every.items() if task.startswith((f"{name}/", "encode/"))}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> dict[str, Any]:
    return WAYS[request.param]


def test_the_first_take_is_the_film_without_takes(way: dict[str, Any]) -> None:
    without = known(make_plan(film({}, **way), FACTS))
    with_takes = known(make_plan(film({"d": 3}, **way), FACTS))
    assert of_video("dawn", with_takes) == without
    assert set(of_video("dawn.d.take1", with_takes).values()) <= set(without.values())


def test_a_picked_take_leaves_nothing_to_make(way: dict[str, Any]) -> None:
    plan = make_plan(film({"d": 3, "b": 2}, **way), FACTS)
    before = known(plan)
    picked = with_picks(plan, {("dawn", "d"): 3})
    after = known(picked)
    assert to_compute(build_graph(picked), after, set(before.values()), set()) == []
    assert {stage_of(task) for task in changed(before, after)} >= {"sample", "decode", "segment"}
    where = {number for number, name in enumerate(plan.videos[0].shots) if name == "d"}
    assert {shot_of(picked, task) for task in changed(before, after)} == where
    assert [film.take.picked for film in picked.videos if film.take] == [True, False, False, False, True]
    assert known(with_picks(plan, {("dawn", "d"): 1})) == before


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    return [task for task in after if before[task] != after[task]]


def stage_of(task: str) -> str:
    return task.rpartition("/")[2]


def shot_of(plan: Plan, task: str) -> int:
    return build_graph(plan).tasks[task].shot


def test_takes_are_different_samplings_of_one_shot() -> None:
    plan = make_plan(film({"d": 3}, upscale={"steps": 1}))
    graph, every = build_graph(plan), known(plan)
    left = find_duplicates(every).without(list(graph.tasks))
    chunks = len([chunk for chunk in plan.videos[0].chunks if chunk.shot == 3])
    sampled = [task for task in left if graph.tasks[task].stage is Stage.SAMPLE]
    assert len(sampled) == len(plan.videos[0].chunks) + 2 * chunks
    assert {graph.tasks[task].video for task in sampled} == {"dawn", "dawn.d.take2", "dawn.d.take3"}
    take = plan.videos[2]
    assert (take.name, take.output, take.shots) == ("dawn.d.take2", "dawn.d.take2.mp4", ("d",))
    assert take.frames == sum(len(chunk.owned) for chunk in plan.videos[0].chunks if chunk.shot == 3)
    assert take.chunks[0].owned.start == 0


def test_an_explicit_seed_is_that_of_the_first_take_alone() -> None:
    shots = [{"name": "a", "seconds": 1, "prompt": "a", "seed": 7, "takes": 2}]
    plan = make_plan(JobSpec.model_validate({"name": "j", **JOB, "videos": [{"name": "v", "shots": shots}]}))
    seeds = [film.chunks[0].seed for film in plan.videos]
    assert seeds[:2] == [7, 7]
    assert seeds[2] != 7


def test_a_new_seed_stays_with_its_take_wherever_it_is() -> None:
    plan = make_plan(film({"d": 2}))
    take = next(film for film in plan.videos if film.name == "dawn.d.take2")
    seeds = {("dawn", take.chunks[1].decode_seed): 42}
    assert known(with_overrides(plan, {}, {})) == known(plan)
    again = with_overrides(plan, seeds, {})
    assert {task.split("/")[0] for task in changed(known(plan), known(again))} == {"dawn.d.take2"}
    both = with_overrides(with_picks(plan, {("dawn", "d"): 2}), seeds, {})
    assert [chunk.seed for chunk in both.videos[0].chunks if chunk.shot == 3][1] == 42
    assert set(of_video("dawn", known(both)).values()) <= {*known(again).values()}


def test_a_retry_of_one_take_leaves_the_film_alone() -> None:
    plan = make_plan(film({"d": 2}))
    retry = plan_retry(plan, build_graph(plan), Selection(frozenset({"dawn.d.take2"})))
    assert retry.videos == ("dawn.d.take2",)


def test_takes_stay_drafts_while_films_are_approved() -> None:
    plan = make_plan(film({"d": 2}, upscale={"steps": 1}))
    approved = with_drafts(plan, ["dawn"])
    assert [film.draft for film in approved.videos] == [False, True, True]
    # The draft of a film has the draft segments of what is picked.
    draft = of_video("dawn.draft", known(with_drafts(plan, []))) | of_video("dawn.d.take2", known(approved))
    picked = of_video("dawn.draft", known(with_drafts(with_picks(plan, {("dawn", "d"): 2}), [])))
    assert set(picked.values()) <= set(draft.values())


def test_a_draft_samples_what_its_film_samples(way: dict[str, Any]) -> None:
    """That of a take, too: what was seen is what is in the film once it is picked."""
    plan = make_plan(film({"d": 2}, **{"upscale": {"steps": 1}, **way}), FACTS)
    drafts = known(with_drafts(plan, []))
    for other in (plan, with_picks(plan, {("dawn", "d"): 2})):
        film_of = known(with_drafts(other, []))
        assert sampled("dawn", film_of) == sampled("dawn.draft", film_of)
        assert set(sampled("dawn", film_of)) <= {*sampled("dawn", drafts), *sampled("dawn.d.take2", drafts)}


def sampled(name: str, every: dict[str, str]) -> list[str]:
    ours = {task: digest for task, digest in every.items() if task.startswith(f"{name}/")}
    found = [digest for task, digest in ours.items() if stage_of(task) == "sample"]
    assert found
    return found


def test_the_explicit_form_has_the_same_takes() -> None:
    spec = film({"d": 3, "b": 2}, upscale={"steps": 1})
    plan, explicit = make_plan(spec), make_plan(JobSpec.model_validate(explicit_data(spec)))
    assert known(explicit) == known(plan)
    assert [film.name for film in explicit.videos] == [film.name for film in plan.videos]


def test_a_source_belongs_to_every_take() -> None:
    chunks = (generate("a", shot="a"), extend(), generate("b", shot="b", takes=2), extend())
    video = {"source": {"video": "old.mp4"}}
    plan = make_plan(spec_of(*chunks, video=video, **JOB), FACTS)
    assert [film.name for film in plan.videos] == ["dawn", "dawn.b.take1", "dawn.b.take2"]
    assert [chunk.kind for chunk in plan.videos[2].chunks] == ["generate", "extend"]


def test_only_further_deliveries_are_made_for_a_pick() -> None:
    """A take has one delivery: of the others its segments are encoded when it is in the film."""
    deliveries = {"deliveries": [{"container": "mov", "codec": "prores"}, {"container": "mp4"}]}
    plan = make_plan(film({"d": 2}, output=deliveries))
    picked = with_picks(plan, {("dawn", "d"): 2})
    before, after = known(plan), known(picked)
    assert plan.videos[1].output == "dawn.d.take1.mp4"
    again = to_compute(build_graph(picked), after, set(before.values()), set())
    assert {stage_of(task) for task in again} == {"segment"}
    frames = [digest for task, digest in before.items() if stage_of(task) == "decode"]
    again = to_compute(build_graph(picked), after, set(before.values()) - set(frames), frames)
    assert {stage_of(task) for task in again} == {"decode", "segment"}


@pytest.mark.parametrize(("temporal", "rate"), [(4, 24.0), (2, 23.976)])
@pytest.mark.parametrize("at", [0.0, 2.5, -1.25])
def test_each_shot_of_a_draft_hears_what_it_is_sampled_with(temporal: int, rate: float, at: float) -> None:
    """A shot of N frames lasts (N - 1 + 1 / temporal) / rate in the film, and N / rate in its draft."""
    shots = [{"name": f"s{n}", "seconds": 1.0, "prompt": f"shot {n}"} for n in range(40)]
    track = {"file": "speech.wav", "mode": "condition", "at": at, "fade_out": 1.0}
    video = {"name": "dawn", "shots": shots, "sound": [track]}
    job = {"engine": {"name": "fake"}, "upscale": {"temporal": temporal}, "videos": [video]}
    defaults = {**JOB["defaults"], "num_frames": 25, "frame_rate": rate}
    plan = make_plan(JobSpec.model_validate({"name": "harbor", **job, "defaults": defaults}))
    own, draft = with_drafts(plan, []).videos
    assert own.sound is not None
    assert draft.sound is not None
    samples, places = own.sound.sample_rate, []
    firsts = [chunk for chunk in draft.chunks if chunk.index_in_shot == 0]
    assert len(draft.sound.tracks) == len(firsts) == 40
    for chunk, heard in zip(firsts, draft.sound.tracks, strict=True):
        assert chunk.heard is not None
        shown = audio_sample(chunk.owned.start, samples, draft.frame_rate)
        begun = heard.first_sample(samples, draft.frame_rate) + shown
        assert abs(begun - chunk.heard.samples.start) <= 1
        places.append(heard.place(samples, draft.frame_rate, draft.frames))
    assert all(this.stop <= after.start for this, after in pairwise(places))
    silent_s = 0.0 if at < 0 else at
    assert sum(map(len, places)) / samples == pytest.approx(draft.seconds - silent_s, abs=0.1)
    assert draft.sound.paths == ("speech.wav",)
    assert draft.sound.said == own.sound.said
