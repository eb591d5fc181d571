"""Digests change exactly when the bytes could."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, LockedResults, digests, digests_with, input_files
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, TaskGraph

FILES = {"a.png": "aa", "b.png": "bb", "score.wav": "cc", "shot.mp4": "dd"}
FACTS = SourceFacts(videos={"shot.mp4": VideoFact(97, 640, 480, 25.0)})
FILM: dict[str, Any] = {
    "name": "harbor",
    "defaults": {"seed": 3},
    "upscale": {},
    "videos": [
        {
            "name": "dawn",
            "sound": [{"file": "score.wav"}],
            "chunks": [
                {"generate": {"prompt": "dawn", "first_image": "a.png"}},
                {"extend": {"prompt": "fog", "repeat": 2}},
                {"extend": {"prompt": "sun"}},
                {"generate": {"prompt": "noon"}},
                {"extend": {"prompt": "rain"}},
            ],
        },
        {"name": "more", "source": {"video": "shot.mp4"}, "chunks": [{"extend": {"prompt": "boat"}}]},
    ],
}


def film(change: Callable[[dict[str, Any]], object] | None = None) -> TaskGraph:
    spec = copy.deepcopy(FILM)
    if change:
        change(spec)
    return build_graph(make_plan(JobSpec.model_validate(spec), FACTS))


def digested(graph: TaskGraph, **parts: Any) -> dict[str, str]:
    software: dict[str, Any] = {"engine": {"name": "tiny"}, "media": {"ffmpeg": "7"}, "files": FILES, **parts}
    return digests(graph, Fingerprint(**software))


def changed(after: dict[str, str]) -> set[str]:
    """Tasks of the changed film that the unchanged one has no result for."""
    known = set(digested(film()).values())
    return {task for task, digest in after.items() if digest not in known}


def chunks_of(tasks: set[str]) -> set[str]:
    return {task.rsplit("/", 1)[0] for task in tasks if not task.startswith("encode/")}


def test_a_digest_is_a_sha256_and_every_task_has_its_own() -> None:
    graph = film()
    found = digested(graph)
    assert list(found) == list(graph.tasks)
    assert all(len(digest) == 64 for digest in found.values())
    assert len(set(found.values())) == len(found)


@pytest.mark.parametrize(
    "change",
    [
        lambda spec: spec.update(name="renamed"),
        lambda spec: spec.update(
            run={"topology": "sample=4,upscale+decode=2", "max_attempts": 9, "keep": "all"}
        ),
        lambda spec: spec.update(run={"deadlines": {"sample": 5.0}, "verify": {"black": "off"}}),
        lambda spec: spec.update(output={"dir": "elsewhere", "container": "mkv"}),
        lambda spec: spec["videos"][0].update(sound=[]),
        lambda spec: spec["videos"].reverse(),
        lambda spec: spec["videos"][0]["chunks"][1]["extend"].update(steps=20),
    ],
)
def test_what_cannot_reach_the_bytes_changes_nothing(change: Callable[[dict[str, Any]], object]) -> None:
    assert changed(digested(film(change))) == set()


def test_one_edited_prompt_changes_that_chunk_and_its_dependents() -> None:
    after = film(lambda spec: spec["videos"][0]["chunks"][2]["extend"].update(prompt="SUN"))
    fresh = changed(digested(after))
    (text,) = [task for task in fresh if task.startswith("encode/")]
    assert fresh == {text, *after.closure(["dawn/00003/sample"])}
    assert chunks_of(fresh) == {"dawn/00003"}


def test_an_edited_prompt_early_in_a_shot_changes_the_rest_of_the_shot() -> None:
    after = film(lambda spec: spec["videos"][0]["chunks"][1]["extend"].update(prompt="FOG"))
    assert chunks_of(changed(digested(after))) == {"dawn/00001", "dawn/00002", "dawn/00003"}


@pytest.mark.parametrize("position", [0, 3, 5])
def test_an_inserted_shot_changes_nothing_else(position: int) -> None:
    shot = [{"generate": {"prompt": "new"}}, {"extend": {"prompt": "newer"}}]
    after = film(lambda spec: spec["videos"][0]["chunks"].__setitem__(slice(position, position), shot))
    first = {0: 0, 3: 4, 5: 6}[position]
    assert chunks_of(changed(digested(after))) == {f"dawn/{first:05d}", f"dawn/{first + 1:05d}"}


def test_an_appended_extend_encodes_the_segment_before_it_again_and_nothing_more() -> None:
    after = film(lambda spec: spec["videos"][0]["chunks"].append({"extend": {"prompt": "end"}}))
    fresh = changed(digested(after))
    assert {task for task in fresh if not task.startswith(("dawn/00006", "encode/"))} == {
        "dawn/00005/segment"
    }


def test_the_job_seed_changes_every_sample_without_a_seed_of_its_own() -> None:
    after = film(lambda spec: spec["defaults"].update(seed=4))
    fresh = changed(digested(after))
    stages = {after.tasks[task].stage for task in fresh}
    assert stages == {Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE, Stage.SEGMENT}


def test_contents_count_not_paths() -> None:
    def move(spec: dict[str, Any]) -> None:
        spec["videos"][0]["chunks"][0]["generate"]["first_image"] = "moved/a.png"

    assert changed(digested(film(move), files={**FILES, "moved/a.png": "aa"})) == set()
    fresh = changed(digested(film(), files={**FILES, "a.png": "other"}))
    assert chunks_of(fresh) == {f"dawn/{k:05d}" for k in range(4)}


def test_engine_parts_concern_their_stage() -> None:
    graph = film()
    for stage in (Stage.SAMPLE, Stage.UPSCALE, Stage.DECODE):
        fresh = changed(digested(graph, engine={"name": "tiny", stage.value: {"lora": "x"}}))
        roots = [task.id for task in graph.tasks.values() if task.stage is stage]
        assert fresh == set(graph.closure(roots))


def test_what_rounds_read_concerns_no_second_pass() -> None:
    def with_rounds(spec: dict[str, Any]) -> None:
        spec["upscale"] = {"temporal": 2}
        del spec["videos"][1]

    graph, own = film(with_rounds), {"canvas": "upsampler", "tile": "LoRA"}
    before = digested(graph, engine={"name": "tiny", "upscale": {"lora": "x", "rounds": own}})
    for part, name in (("canvas", ".r1/upscale"), ("tile", ".r1-t")):
        engine = {"name": "tiny", "upscale": {"lora": "x", "rounds": {**own, part: "other"}}}
        fresh = set(digested(graph, engine=engine).items()) - set(before.items())
        roots = [task for task in graph.tasks if name in task]
        assert roots
        assert {task for task, _ in fresh} == set(graph.closure(roots))
    plain = digested(graph, engine={"name": "tiny", "upscale": {"lora": "x"}})
    assert plain["dawn/00000/upscale"] == before["dawn/00000/upscale"]


def test_common_engine_parts_concern_all_but_segments_alone() -> None:
    graph = film()
    assert changed(digested(graph, engine={"name": "other"})) == set(graph.tasks)
    media = changed(digested(graph, media={"ffmpeg": "8"}))
    kinds = {task.split("-")[0] for task in media if task.startswith("encode/")}
    assert kinds == {"encode/image", "encode/source"}
    assert {"dawn/00004/segment", "dawn/00005/segment"} <= media
    assert "dawn/00004/decode" not in media


def test_encode_threads_reach_segments_alone() -> None:
    fresh = changed(digested(film(lambda spec: spec.update(run={"encode_threads": 2}))))
    assert {task.rsplit("/", 1)[1] for task in fresh} == {"segment"}


def test_upscale_settings_leave_the_samples() -> None:
    after = film(lambda spec: spec["upscale"].update(denoise=0.3))
    assert not any(task.endswith("/sample") for task in changed(digested(after)))


def test_the_files_that_count_are_known() -> None:
    assert input_files(film()) == {"a.png", "shot.mp4"}


def test_the_digest_of_a_task_is_pinned() -> None:
    spec = JobSpec.model_validate(
        {"name": "x", "videos": [{"name": "v", "chunks": [{"generate": {"prompt": "p"}}]}]}
    )
    found = digests(build_graph(make_plan(spec)), Fingerprint({}, {}, {}))
    assert found["v/00000/sample"] == "a22744f01327dac1a1c3d4c1174c52bfd2eda438be5d0b60b995098ae3da9584"


def locked(graph: TaskGraph, kept: Iterable[str], **parts: Any) -> LockedResults:
    software: dict[str, Any] = {"engine": {"name": "old"}, "media": {"ffmpeg": "6"}, "files": FILES, **parts}
    return LockedResults(Fingerprint(**software), frozenset(kept), graph)


def test_a_locked_result_keeps_its_digest_and_what_the_spec_changes_takes_todays() -> None:
    edited = film(lambda spec: spec["videos"][0]["chunks"][3]["generate"].update(prompt="dusk"))
    before = digests(film(), locked(edited, ()).fingerprint)
    today = Fingerprint({"name": "tiny"}, {"ffmpeg": "7"}, FILES)
    found = digests_with(edited, today, (locked(edited, before.values()),))
    new = {task for task, digest in found.by_task.items() if before.get(task) != digest}
    assert chunks_of(new) == {"dawn/00004", "dawn/00005"}, "the shot's own chunks, and no other"
    sampled = {task for task in new if task.endswith("sample")}
    assert {found.made_with[task] for task in sampled} == {0b10}
    assert all(found.made_with[task] & 0b01 for task in found.by_task if task not in new)


def test_without_locks_digests_are_what_they_were() -> None:
    today = Fingerprint({"name": "tiny"}, {"ffmpeg": "7"}, FILES)
    found = digests_with(film(), today, ())
    assert found.by_task == digested(film())
    assert found.made_with == {}


def test_one_software_makes_all_where_the_other_differs_in_nothing_that_counts() -> None:
    today = Fingerprint({"name": "tiny"}, {"ffmpeg": "7"}, FILES)
    kept = digests(film(), Fingerprint({"name": "tiny"}, {"ffmpeg": "6"}, FILES))
    found = digests_with(film(), today, (locked(film(), kept.values(), engine={"name": "tiny"}),))
    assert found.by_task == kept
    assert {found.made_with[task] for task in kept if task.endswith("segment")} == {0b01}
    assert {found.made_with[task] for task in kept if "/sample" in task} == {0b11}
