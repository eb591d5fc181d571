"""What a run keeps and how large it grows."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph
from jobs.tasks.retention import estimate_disk, evictable
from jobs.tasks.task import Stage, TaskGraph


def graph_of(extends: int = 3, videos: int = 1, **more: Any) -> TaskGraph:
    chunks = [{"generate": {"prompt": "a", "num_frames": 33}}]
    chunks += [{"extend": {"prompt": "b", "num_new_frames": 32, "overlap_frames": 16}}] * extends
    spec: dict[str, Any] = {"version": 1, "name": "harbor", **more}
    spec["videos"] = [{"name": f"v{index}", "chunks": chunks} for index in range(videos)]
    return build_graph(make_plan(JobSpec.model_validate(spec)))


def test_frames_go_when_both_segments_that_show_them_are_committed() -> None:
    graph = graph_of()
    done = {task for task in graph.tasks if not task.endswith("/segment")}
    assert evictable(graph, done) == ()
    done.add("v0/00000/segment")
    assert evictable(graph, done) == ()
    done.add("v0/00001/segment")
    assert evictable(graph, done) == ("v0/00000/decode",)
    assert evictable(graph, set(graph.tasks)) == tuple(f"v0/{k:05d}/decode" for k in range(4))


def test_without_a_cross_fade_one_segment_shows_a_frame() -> None:
    graph = graph_of(1, decode={"seam": "lag"})
    done = {"v0/00000/decode", "v0/00000/segment"}
    assert evictable(graph, done) == ("v0/00000/decode",)


def test_frames_of_two_chunks_are_the_most_that_stand_in_a_chain() -> None:
    graph = graph_of(20)
    sizes = [task.bytes_estimate for task in graph.tasks.values() if task.stage is Stage.DECODE]
    estimate = estimate_disk(graph)
    assert max(a + b for a, b in pairwise(sizes)) == estimate.frames_bytes
    assert estimate_disk(graph, keep="all").frames_bytes == sum(sizes)
    assert estimate.peak_bytes == estimate.kept_bytes + estimate.frames_bytes + estimate.films_bytes


def test_a_canvas_goes_when_its_tiles_and_the_next_canvas_are_committed() -> None:
    graph = graph_of(0, engine={"name": "fake"}, upscale={"temporal": 4}, run={"threads": 1})
    tiles = {task for task in graph.tasks if ".r1-t" in task}
    done = {"v0/00000.r1/upscale", *tiles}
    assert evictable(graph, done) == ()
    done.add("v0/00000.r2/upscale")
    assert evictable(graph, done) == ("v0/00000.r1/upscale",)
    kept, every = estimate_disk(graph), estimate_disk(graph, keep="all")
    canvases = sum(graph.tasks[f"v0/00000.r{number}/upscale"].bytes_estimate for number in (1, 2))
    frames = sum(task.bytes_estimate for task in graph.tasks.values() if task.stage is Stage.DECODE)
    assert every.frames_bytes == frames + canvases
    assert kept.frames_bytes == frames
    assert kept.kept_bytes == every.kept_bytes


def test_videos_in_work_at_the_same_time_add_up() -> None:
    one, many = estimate_disk(graph_of(5)), estimate_disk(graph_of(5, videos=4))
    assert many.frames_bytes == 4 * one.frames_bytes
    assert estimate_disk(graph_of(5, videos=4), videos_at_once=2).frames_bytes == 2 * one.frames_bytes
