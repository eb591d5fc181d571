"""The rows of a plan."""

from __future__ import annotations

from dataclasses import asdict

from jobs.planning.facts import SourceFacts, VideoFact
from jobs.planning.plan import make_plan
from jobs.planning.summary import plan_summary
from jobs.spec.job import JobSpec

SPEC = {
    "name": "harbor",
    "upscale": {},
    "videos": [
        {"name": "dawn", "chunks": [{"generate": {"prompt": "a"}}, {"extend": {"prompt": "b", "repeat": 2}}]},
        {"name": "more", "source": {"video": "shot.mp4"}, "chunks": [{"extend": {"prompt": "c", "seed": 5}}]},
    ],
}


def test_rows_add_up_to_the_films() -> None:
    facts = SourceFacts(videos={"shot.mp4": VideoFact(97, 640, 480, 25.0)})
    summary = plan_summary(make_plan(JobSpec.model_validate(SPEC), facts))
    assert [(row.video, row.frames, row.chunks, row.shots) for row in summary.videos] == [
        ("dawn", 257, 3, 1),
        ("more", 177, 2, 1),
    ]
    for video in summary.videos:
        rows = [row for row in summary.chunks if row.video == video.video]
        assert sum(row.stop_frame - row.start_frame for row in rows) == video.frames
        assert (video.width, video.height, video.sound) == (1536, 1024, "none")
    assert asdict(summary.chunks[4]) == {
        "video": "more",
        "chunk": 1,
        "shot": 0,
        "shot_name": "source",
        "kind": "extend",
        "joint": "overlap",
        "start_frame": 89,
        "stop_frame": 177,
        "fade_frames": 8,
        "sampled_latents": 12,
        "decoded_latents": 15,
        "steps": 20,
        "seed": 5,
        "prompt": "c",
    }
    assert summary.chunks[3].sampled_latents == 0
