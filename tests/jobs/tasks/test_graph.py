"""Task graphs: which tasks there are and what each needs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest

from jobs.frames import Span
from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.params import (
    DecodeParams,
    EncodeAudio,
    EncodeImage,
    EncodeSource,
    PassParams,
    SegmentParams,
)
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage, StageTask, TaskGraph, latent_bytes

FACTS = SourceFacts(videos={"shot.mp4": VideoFact(97, 640, 480, 25.0)})


def graph_of(*chunks: dict[str, Any], video: dict[str, Any] | None = None, **job: Any) -> TaskGraph:
    only = {"name": "dawn", "chunks": list(chunks), **(video or {})}
    spec = JobSpec.model_validate({"name": "harbor", "videos": [only], **job})
    return build_graph(make_plan(spec, FACTS))


def generate(prompt: str = "noon", **more: Any) -> dict[str, Any]:
    return {"generate": {"prompt": prompt, **more}}


def extend(prompt: str = "later", **more: Any) -> dict[str, Any]:
    return {"extend": {"prompt": prompt, **more}}


def roles(task: StageTask) -> list[tuple[str, str]]:
    return [(need.role, need.task) for need in task.needs]


def test_the_tasks_of_a_chunk() -> None:
    graph = graph_of(generate(), extend(), upscale={})
    text, second = [task for task in graph.tasks if task.startswith("encode/text-")]
    assert list(graph.tasks) == [
        text, "dawn/00000/sample", "dawn/00000/upscale", "dawn/00000/decode", "dawn/00000/segment",
        second, "dawn/00001/sample", "dawn/00001/upscale", "dawn/00001/decode", "dawn/00001/segment",
    ]  # fmt: skip
    assert roles(graph.tasks["dawn/00001/sample"]) == [
        ("conditioning", second),
        ("previous", "dawn/00000/sample"),
    ]
    assert roles(graph.tasks["dawn/00001/upscale"]) == [
        ("latents", "dawn/00001/sample"),
        ("conditioning", second),
        ("previous", "dawn/00000/upscale"),
    ]
    assert roles(graph.tasks["dawn/00001/decode"]) == [
        ("latents", "dawn/00000/upscale"),
        ("latents", "dawn/00001/upscale"),
    ]
    assert roles(graph.tasks["dawn/00001/segment"]) == [
        ("frames", "dawn/00001/decode"),
        ("previous", "dawn/00000/decode"),
    ]


@pytest.mark.parametrize("seam", ["crossfade", "lag"])
@pytest.mark.parametrize("upscale", [None, {}])
def test_needs_stand_before_their_tasks_and_dependents_turn_them_round(seam: str, upscale: Any) -> None:
    chunks = generate(first_image="a.png"), extend(repeat=4), generate("b"), extend(last_image="c.png")
    graph = graph_of(*chunks, upscale=upscale, decode={"seam": seam})
    seen: set[str] = set()
    for task in graph.tasks.values():
        assert {need.task for need in task.needs} <= seen
        seen.add(task.id)
        assert all(task.id in graph.dependents[need.task] for need in task.needs)
    assert sum(map(len, graph.dependents.values())) == sum(
        len({need.task for need in task.needs}) for task in graph.tasks.values()
    )


def test_encodes_of_equal_content_are_shared() -> None:
    graph = graph_of(generate("same", first_image="a.png"), extend("same", repeat=5, last_image="a.png"))
    encodes = [task for task in graph.tasks.values() if task.stage is Stage.ENCODE]
    assert sorted(task.id.split("-")[0] for task in encodes) == ["encode/image", "encode/text"]
    assert {(task.video, task.chunk) for task in encodes} == {("dawn", 0)}


def test_guides_come_in_the_order_of_their_frames() -> None:
    images = {"last_image": "c.png", "first_image": "a.png", "middle_image": "b.png"}
    graph = graph_of(generate(**images, image_strength=0.8))
    task = graph.tasks["dawn/00000/sample"]
    params = task.params
    assert isinstance(params, PassParams)
    assert [(guide.frame, guide.image_strength) for guide in params.guides] == [
        (0, 0.8),
        (48, 0.8),
        (96, 0.8),
    ]
    paths = [graph.tasks[name].params for role, name in roles(task) if role == "guide"]
    assert [image.path for image in paths if isinstance(image, EncodeImage)] == ["a.png", "b.png", "c.png"]


def test_a_source_stands_where_a_sample_would() -> None:
    graph = graph_of(extend(), video={"source": {"video": "shot.mp4"}}, upscale={})
    (source,) = [task for task in graph.tasks.values() if isinstance(task.params, EncodeSource)]
    assert ("previous", source.id) in roles(graph.tasks["dawn/00001/sample"])
    upscale = graph.tasks["dawn/00000/upscale"]
    assert roles(upscale) == [("latents", source.id)]
    assert isinstance(upscale.params, PassParams)
    assert upscale.params.sampling.steps == 0
    assert "dawn/00000/sample" not in graph.tasks


@pytest.mark.parametrize("upscale", [{"steps": 0}, {"denoise": 0.0}])
def test_upscaling_without_sampling_needs_no_prompt(upscale: dict[str, Any]) -> None:
    graph = graph_of(generate(first_image="a.png"), upscale=upscale)
    assert [role for role, _ in roles(graph.tasks["dawn/00000/upscale"])] == ["latents"]


def test_a_second_pass_has_the_images_at_its_size() -> None:
    graph = graph_of(generate(first_image="a.png"), extend(last_image="b.png"), upscale={})
    for chunk, path in ((0, "a.png"), (1, "b.png")):
        sample, upscale = (graph.tasks[f"dawn/0000{chunk}/{stage}"] for stage in ("sample", "upscale"))
        small, large = (graph.tasks[dict(roles(task))["guide"]].params for task in (sample, upscale))
        assert isinstance(small, EncodeImage)
        assert isinstance(large, EncodeImage)
        assert large == replace(small, width=2 * small.width, height=2 * small.height)
        assert small.path.endswith(path)
        assert upscale.params.guides == sample.params.guides  # type: ignore[union-attr]


def test_chains_follow_the_shots() -> None:
    graph = graph_of(generate(), extend(repeat=2), generate("b"), upscale={})
    for stage in ("sample", "upscale"):
        before = [dict(roles(graph.tasks[f"dawn/{chunk:05d}/{stage}"])).get("previous") for chunk in range(4)]
        assert before == [None, f"dawn/00000/{stage}", f"dawn/00001/{stage}", None]


def test_decode_reads_as_many_predecessors_as_its_context_spans() -> None:
    graph = graph_of(generate(), extend(num_new_frames=8, repeat=6), decode={"context": 4})
    decode = graph.tasks["dawn/00006/decode"]
    assert [name for _, name in roles(decode)] == [f"dawn/{k:05d}/sample" for k in range(3, 7)]
    assert isinstance(decode.params, DecodeParams)
    assert decode.params.spans == (Span(13, 16), Span(14, 17), Span(15, 18), Span(16, 19))
    assert decode.params.window.context == Span(13, 19)
    for first, last in zip(decode.params.spans[:-1], decode.params.spans[1:], strict=True):
        assert first.stop >= last.start


def test_lagging_decode_waits_for_the_next_chunk_and_fades_nothing() -> None:
    graph = graph_of(generate(), extend(repeat=2), decode={"seam": "lag"})
    assert [name for _, name in roles(graph.tasks["dawn/00001/decode"])] == [
        "dawn/00000/sample", "dawn/00001/sample", "dawn/00002/sample",
    ]  # fmt: skip
    assert roles(graph.tasks["dawn/00001/segment"]) == [("frames", "dawn/00001/decode")]


def test_a_decode_knows_which_input_is_its_own() -> None:
    chunks = generate(num_frames=33), extend(num_new_frames=24), extend(num_new_frames=24, overlap_frames=32)
    for seam in ("crossfade", "lag"):
        graph = graph_of(*chunks, decode={"seam": seam})
        for task in graph.tasks.values():
            if isinstance(task.params, DecodeParams):
                assert task.needs[task.params.own].task == task.id.replace("decode", "sample")


def test_a_segment_without_frames_needs_nothing() -> None:
    chunks = (generate(), extend(overlap_frames=8, num_new_frames=16), extend(overlap_frames=24))
    crossfade, lag = graph_of(*chunks), graph_of(*chunks, decode={"seam": "lag"})
    for graph in (crossfade, lag):
        segment = graph.tasks["dawn/00001/segment"]
        assert isinstance(segment.params, SegmentParams)
        assert (segment.params.owned_frames, segment.needs) == (0, ())
    assert "dawn/00001/decode" in crossfade.tasks
    assert ("previous", "dawn/00001/decode") in roles(crossfade.tasks["dawn/00002/segment"])
    assert "dawn/00001/decode" not in lag.tasks


def test_each_chunk_hears_its_slice() -> None:
    sound = [{"file": "score.wav", "mode": "condition"}]
    graph = graph_of(generate(), extend(), video={"sound": sound}, engine={"name": "fake"})
    name = dict(roles(graph.tasks["dawn/00001/sample"]))["audio"]
    params = graph.tasks[name].params
    assert params == EncodeAudio("score.wav", 88 * 1920, 177 * 1920, 48000, 25.0, 89)


def test_generated_sound_reaches_decode_and_segment() -> None:
    graph = graph_of(generate(), video={"sound": [{"generate": True}]}, engine={"name": "fake"})
    sample, decode, segment = (
        graph.tasks[f"dawn/00000/{stage}"].params for stage in ("sample", "decode", "segment")
    )
    assert isinstance(sample, PassParams)
    assert sample.audio_mode == "generate"
    assert isinstance(decode, DecodeParams)
    assert decode.sound == Span(0, 13)
    assert isinstance(segment, SegmentParams)
    assert segment.audio


def test_segments_know_only_what_reaches_their_bytes() -> None:
    def params(**output: Any) -> object:
        return graph_of(generate(), output=output).tasks["dawn/00000/segment"].params

    assert params(container="mkv") == params(container="mp4") == params(dir="elsewhere")
    assert params(container="mov", codec="prores", crf=3) == params(container="mov", codec="prores")
    assert params(crf=3) != params()


def test_a_frozen_attention_mode_replaces_auto_alone() -> None:
    spec = {
        "name": "x",
        "videos": [{"name": "v", "chunks": [generate(), generate("b", attention_mode="sage")]}],
    }
    plan = make_plan(JobSpec.model_validate(spec)).resolve({"attention_mode": "default"})
    modes = [
        p.attention_mode
        for p in (t.params for t in build_graph(plan).tasks.values())
        if isinstance(p, PassParams)
    ]
    assert modes == ["default", "sage"]


def test_sizes_are_those_of_the_arrays() -> None:
    graph = graph_of(generate(), extend(), upscale={})
    assert latent_bytes(768, 512, 13) == 128 * 13 * 16 * 24 * 4
    assert graph.tasks["dawn/00001/sample"].bytes_estimate == latent_bytes(768, 512, 12)
    assert graph.tasks["dawn/00001/upscale"].bytes_estimate == 4 * latent_bytes(768, 512, 12)
    assert graph.tasks["dawn/00001/decode"].bytes_estimate == 88 * 1536 * 1024 * 3


def test_the_closure_of_a_sample_is_what_it_reaches() -> None:
    graph = graph_of(generate(), extend(repeat=2), generate("b"))
    closure = graph.closure(["dawn/00001/sample"])
    assert closure == (
        "dawn/00001/sample", "dawn/00001/decode", "dawn/00001/segment",
        "dawn/00002/sample", "dawn/00002/decode", "dawn/00002/segment",
    )  # fmt: skip


def test_ten_thousand_chunks_are_planned_in_seconds() -> None:
    started = time.perf_counter()
    graph = graph_of(generate(), extend(repeat=10_000))
    assert len(graph.tasks) == 30_005
    assert time.perf_counter() - started < 15
