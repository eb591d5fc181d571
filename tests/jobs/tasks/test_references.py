"""References in plan and task graph: what is encoded for them, at which size, and whom they concern."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jobs.advice.notices import notices
from jobs.canonical import canonical_json
from jobs.loading.load import load_spec
from jobs.planning.explicit import explicit_data
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.params import EncodeClip, EncodeImage, PassParams, ReferenceUse
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.digest import Fingerprint, digests, input_files
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from jobs.tasks.task import StageTask, TaskGraph

FACTS = SourceFacts(videos={"pose.mp4": VideoFact(40, 640, 480, 25.0)})
FACE = {"image": "face.png", "scale": 2}
POSE = {"video": "pose.mp4", "scale": 2, "strength": 0.8, "attention": 0.5, "fit": "pad"}
SIZE = {"width": 256, "height": 128, "num_frames": 25, "num_new_frames": 16, "overlap_frames": 16}


def spec(*shots: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    named = [{"name": f"s{i}", "prompt": "noon", **shot} for i, shot in enumerate(shots)]
    return {
        "name": "harbor",
        "engine": {"name": "fake", "loras": [{"path": "ic.safetensors"}]},
        "defaults": {**SIZE, **defaults},
        "upscale": {},
        "videos": [{"name": "dawn", "shots": named}],
    }


def graph_of(data: dict[str, Any]) -> TaskGraph:
    return build_graph(make_plan(JobSpec.model_validate(data), FACTS))


def looked_at(graph: TaskGraph, task: str) -> list[tuple[StageTask, ReferenceUse]]:
    """What a pass looks at, and how."""
    params = graph.tasks[task].params
    assert isinstance(params, PassParams)
    needs = [graph.tasks[need.task] for need in graph.tasks[task].needs if need.role == "reference"]
    return list(zip(needs, params.references, strict=True))


def test_the_first_pass_of_each_chunk_looks_at_them() -> None:
    """At their own size; a clip as far as the chunk goes, from the first frame that it samples."""
    graph = graph_of(spec({"seconds": 1.6}, references=[FACE, POSE]))
    image = EncodeImage("face.png", 128, 64, 0)
    lengths = {"dawn/00000/sample": (25, 4), "dawn/00001/sample": (25, 4)}
    for task, (frames, latents) in lengths.items():
        (face, how), (pose, other) = looked_at(graph, task)
        assert (face.params, how) == (image, ReferenceUse(1, 2, 1.0, 1.0))
        assert pose.params == EncodeClip("pose.mp4", 128, 64, frames, 25.0, 0, latents, "pad")
        assert other == ReferenceUse(latents, 2, 0.8, 0.5)
        assert face.bytes_estimate == 128 * 4 * 2 * 4
    assert not looked_at(graph, "dawn/00000/upscale")
    params = graph.tasks["dawn/00000/sample"].params
    assert isinstance(params, PassParams)
    assert params.tokens == 4 * 8 * 4 + (1 + 4) * 4 * 2


def test_a_short_clip_is_looked_at_in_whole_latents() -> None:
    graph = graph_of(spec({"seconds": 2.6, "references": [POSE]}, num_frames=65))
    ((pose, _),) = looked_at(graph, "dawn/00000/sample")
    assert isinstance(pose.params, EncodeClip)
    assert (pose.params.frames, pose.params.latents) == (33, 5)


def test_a_shot_has_those_of_defaults_or_its_own_or_none() -> None:
    graph = graph_of(
        spec(
            {"seconds": 1},
            {"seconds": 1, "references": [POSE]},
            {"seconds": 1, "references": []},
            references=[FACE],
        )
    )
    found = [[need.params.path for need, _ in looked_at(graph, f"dawn/0000{i}/sample")] for i in range(3)]  # type: ignore[union-attr]
    assert found == [["face.png"], ["pose.mp4"], []]


def all_digests(data: dict[str, Any]) -> dict[str, str]:
    graph = graph_of(data)
    files = {path: f"content of {path}" for path in input_files(graph)}
    return digests(graph, Fingerprint({"engine": "fake"}, {}, files))


def test_they_reach_the_digests_of_the_passes_that_look_at_them_alone() -> None:
    plain, one = (
        spec({"seconds": 1}, {"seconds": 1}),
        spec({"seconds": 1, "references": [FACE]}, {"seconds": 1}),
    )
    other = spec({"seconds": 1, "references": [FACE | {"attention": 0.9}]}, {"seconds": 1})
    found = [all_digests(data) for data in (plain, one, other)]
    first = [each["dawn/00000/sample"] for each in found]
    assert len(set(first)) == 3
    assert len({each["dawn/00001/segment"] for each in found}) == 1


def test_a_pass_without_them_is_hashed_as_before_there_were_any() -> None:
    params = graph_of(spec({"seconds": 1})).tasks["dawn/00000/sample"].params
    assert "references" not in canonical_json(params)


def test_the_explicit_form_has_them() -> None:
    data = spec({"seconds": 1.6, "references": [FACE]}, {"seconds": 1}, references=[FACE | {"strength": 0.5}])
    loaded = load_spec(data, check_files=False).spec
    assert all_digests(explicit_data(loaded)) == all_digests(loaded.model_dump(exclude_unset=True))


def test_a_clip_that_begins_anew_in_each_chunk_is_said() -> None:
    def said(seconds: float, *references: dict[str, Any]) -> list[str]:
        data = JobSpec.model_validate(spec({"seconds": seconds, "references": list(references)}))
        return [line for line in notices(make_plan(data, FACTS), FACTS) if "from its start" in line]

    assert len(said(1.6, FACE, POSE)) == 1
    assert not said(1.6, FACE)
    assert not said(1.0, POSE)
