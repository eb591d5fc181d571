"""Tasks of chunks that meet in a held image or clip."""

from __future__ import annotations

from jobs.planning.params import EncodeClip
from tests.jobs.tasks.test_graph import extend, generate, graph_of, roles


def test_chunks_that_meet_in_a_held_image_need_nothing_of_each_other_but_to_be_decoded() -> None:
    held = [{"image": "a.png", "frame": -1, "hold": True}]
    graph = graph_of(generate(num_frames=81, images=held), extend(), upscale={})
    assert [role for role, _ in roles(graph.tasks["dawn/00001/sample"])] == ["conditioning", "guide"]
    assert "previous" not in dict(roles(graph.tasks["dawn/00001/upscale"]))
    images = {
        need
        for chunk in (0, 1)
        for role, need in roles(graph.tasks[f"dawn/0000{chunk}/sample"])
        if role == "guide"
    }
    assert len(images) == 1, "one image is encoded once for both"
    assert roles(graph.tasks["dawn/00000/decode"]) == [
        ("latents", "dawn/00000/upscale"),
        ("latents", "dawn/00001/upscale"),
    ]
    assert roles(graph.tasks["dawn/00001/segment"]) == [("frames", "dawn/00001/decode")]


def test_a_clip_is_encoded_in_its_two_parts() -> None:
    held = [{"video": "shot.mp4", "frame": -17, "hold": True}]
    graph = graph_of(generate(num_frames=81, images=held), extend())
    clips = [task.params for task in graph.tasks.values() if isinstance(task.params, EncodeClip)]
    assert [(clip.frames, clip.skip_frames, clip.latents) for clip in clips] == [(17, 0, 2), (81, 16, 11)]
