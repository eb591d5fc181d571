"""LoRAs of a shot: which tasks they concern, what of them is in a digest, and what another strength voids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.loading.load import load_spec
from jobs.planning.choices import with_drafts, with_picks
from jobs.planning.explicit import explicit_data
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.params import PassParams
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.spec.engine import LoraUse
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, LockedResults, digests, digests_with, input_files
from jobs.tasks.graph import build_graph

ANNA, BEN, STYLE = "anna.safetensors", "ben.safetensors", "style.safetensors"
SIZE = {"width": 256, "height": 128, "num_frames": 25, "num_new_frames": 16, "overlap_frames": 16}


def spec(*loras: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A film of shots of two chunks each, with these LoRAs of their own."""
    shots = [
        {"name": f"s{i}", "seconds": 1.6, "prompt": "noon", **({"loras": own} if own else {})}
        for i, own in enumerate(loras)
    ]
    engine = {"name": "fake", "loras": [{"path": STYLE, "strength": 0.5}]}
    videos = [{"name": "dawn", "shots": shots}]
    return {"name": "harbor", "engine": engine, "defaults": SIZE, "upscale": {}, "videos": videos, **more}


def of(path: str, strength: Any = 1.0) -> list[dict[str, Any]]:
    return [{"path": path, "strength": strength}]


def digested(data: dict[str, Any], **files: str) -> dict[str, str]:
    graph = build_graph(make_plan(JobSpec.model_validate(data)))
    contents = {path: files.get(Path(path).stem, path) for path in input_files(graph)}
    return digests(graph, Fingerprint({"name": "tiny"}, {}, contents))


def uses(data: dict[str, Any]) -> dict[str, tuple[LoraUse, ...]]:
    """The LoRAs of every pass."""
    tasks = build_graph(make_plan(JobSpec.model_validate(data))).tasks
    return {name: task.params.loras for name, task in tasks.items() if isinstance(task.params, PassParams)}


def shots_of(tasks: set[str]) -> set[int]:
    """Two chunks to a shot; a fade reaches into none before it."""
    return {int(task.split("/")[1]) // 2 for task in tasks if not task.startswith("encode")}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {task for task in before if before[task] != after[task]}


def test_every_pass_of_a_shot_has_its_set() -> None:
    found = uses(spec([], of(ANNA, {"sample": 0.8, "upscale": 0.4}), of(BEN, 0.7)))
    assert {name for name, loras in found.items() if not loras} == {
        f"dawn/0000{chunk}/{stage}" for chunk in (0, 1) for stage in ("sample", "upscale")
    }
    for chunk in (2, 3):
        assert found[f"dawn/0000{chunk}/sample"] == (LoraUse(ANNA, 0.8),)
        assert found[f"dawn/0000{chunk}/upscale"] == (LoraUse(ANNA, 0.4),)
    assert found["dawn/00005/upscale"] == (LoraUse(BEN, 0.7),)


@pytest.mark.parametrize("joint", ["overlap", "none", "still"])
def test_a_shot_without_any_keeps_its_digests(joint: str) -> None:
    upscale = {"joint": joint}
    plain, own = digested(spec([], [], upscale=upscale)), digested(spec([], of(ANNA), upscale=upscale))
    assert shots_of(changed(plain, own)) == {1}


def test_a_strength_of_one_shot_concerns_that_alone() -> None:
    one, other = (digested(spec(of(ANNA, 0.8), of(ANNA, which), of(BEN))) for which in (0.8, 0.7))
    assert shots_of(changed(one, other)) == {1}


def test_a_strength_of_one_pass_keeps_the_other() -> None:
    one, other = (digested(spec(of(ANNA, {"sample": 0.8, "upscale": which}))) for which in (0.4, 0.2))
    assert not [task for task in changed(one, other) if task.endswith("sample")]
    assert [task for task in changed(one, other) if task.endswith("upscale")]


def test_none_is_as_strength_zero() -> None:
    assert digested(spec(of(ANNA, 0.0))) == digested(spec([]))
    assert digested(spec(of(ANNA, {"sample": 0.8}))).keys() == digested(spec([])).keys()
    assert uses(spec(of(ANNA, {"sample": 0.8})))["dawn/00000/upscale"] == ()


def test_one_of_the_engine_counts_as_the_shot_says() -> None:
    assert uses(spec(of(STYLE, 0.0)))["dawn/00000/sample"] == (LoraUse(STYLE, 0.0),)
    assert shots_of(changed(digested(spec([], [])), digested(spec([], of(STYLE, 0.0))))) == {1}


def test_what_is_locked_stays_when_another_shot_gets_one() -> None:
    plain, own = (build_graph(make_plan(JobSpec.model_validate(spec([], which)))) for which in ([], of(ANNA)))
    then = Fingerprint({"name": "tiny"}, {}, {ANNA: "a"})
    locked = LockedResults(then, frozenset(digests(plain, then).values()), own)
    now = digests_with(own, Fingerprint({"name": "tiny", "version": 2}, {}, {ANNA: "a"}), [locked]).by_task
    assert shots_of(changed(digests(plain, then), now)) == {1}


def test_a_file_is_known_by_its_content() -> None:
    data, moved = spec([], of(ANNA)), spec([], of(BEN))
    assert digested(data, anna="same") == digested(moved, ben="same")
    assert shots_of(changed(digested(data), digested(data, anna="another"))) == {1}


def test_a_pass_that_only_upsamples_has_none() -> None:
    found = uses(spec(of(ANNA), upscale={"steps": 0}))
    assert (found["dawn/00000/sample"], found["dawn/00000/upscale"]) == ((LoraUse(ANNA, 1.0),), ())


def test_the_explicit_form_has_the_same_digests() -> None:
    data = spec(of(ANNA, {"sample": 0.8}), [], of(BEN, 0.3))
    explicit = explicit_data(JobSpec.model_validate(data))
    assert explicit["videos"][0]["chunks"][0]["generate"]["loras"] == of(ANNA, {"sample": 0.8})
    assert digested(explicit) == digested(data)


def test_a_plan_is_read_again() -> None:
    plan = make_plan(JobSpec.model_validate(spec(of(ANNA, {"sample": 0.8}))))
    assert PLAN_FORM.decode(PLAN_FORM.encode(PlanFile(plan))).plan == plan


def test_takes_and_drafts_have_those_of_their_shot() -> None:
    data = spec([], of(ANNA, 0.8))
    data["videos"][0]["shots"][1]["takes"] = 2
    plan = make_plan(JobSpec.model_validate(data))
    takes = [video for video in plan.videos if video.take is not None]
    picked = with_picks(plan, {("dawn", "s1"): 2}).videos[0]
    assert all(chunk.loras[0].path == ANNA for video in takes for chunk in video.chunks)
    assert [bool(chunk.loras) for chunk in picked.chunks] == [False, False, True, True]
    drafts = build_graph(with_drafts(plan, ())).tasks
    params = drafts["dawn/00002/sample"].params
    assert isinstance(params, PassParams)
    assert params.loras == (LoraUse(ANNA, 0.8),)


def test_a_retake_has_its_own() -> None:
    parts = [{"start": 16, "stop": 24, "prompt": "fog", "loras": of(ANNA)}, {"start": 64, "stop": 72}]
    video = {"name": "dawn", "source": {"video": "shot.mp4"}, "retakes": parts}
    defaults = {"width": 256, "height": 128, "prompt": "noon"}
    data = {"name": "harbor", "engine": {"name": "fake"}, "defaults": defaults, "videos": [video]}
    facts = SourceFacts(videos={"shot.mp4": VideoFact(97, 256, 128, 25.0)})
    tasks = build_graph(make_plan(JobSpec.model_validate(data), facts)).tasks.values()
    used = [task.params.loras for task in tasks if isinstance(task.params, PassParams)]
    assert used == [(LoraUse(ANNA, 1.0),), ()]


def test_paths_are_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / ANNA).write_bytes(b"a lora")
    data = spec(of(ANNA))
    data["engine"]["loras"] = []
    (tmp_path / "film.json").write_text(str(data).replace("'", '"'), encoding="utf-8")
    loaded = load_spec(tmp_path / "film.json")
    assert input_files(build_graph(make_plan(loaded.spec))) == {str(tmp_path / ANNA)}
