"""What is refused around retakes: place, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.planning.facts import Probes, VideoFact
from tests.jobs.spec_files import load, problems

HERE = "videos[0].retakes"
PART = {"start": "1s", "stop": "2s", "prompt": "rain"}
OF_CHUNKS = ("crf", *(f"{what}_strength" for what in ("image", "first", "middle", "last", "overlap")))
"""Settings of what a retake does not have."""

PROBES = Probes(video=lambda _: VideoFact(100, 640, 480, 25.0))


def spec(*retakes: dict[str, Any], job: dict[str, Any] | None = None, **video: Any) -> dict[str, Any]:
    only = {"name": "dawn", "source": {"video": "shot.mp4"}, "retakes": [*retakes], **video}
    return {
        "version": 3,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{key: value for key, value in only.items() if value is not None}],
        **(job or {}),
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("shot.mp4", "face.png", "a.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


CASES: list[tuple[dict[str, Any], str, str]] = [
    (spec(PART | {"stop": "1s"}), f"{HERE}[0].stop", "write 33 or more"),
    (spec(PART | {"stop": 20}), f"{HERE}[0].stop", "write 33 or more"),
    (spec(PART | {"start": 1.5}), f"{HERE}[0].start", "write `1.5s`"),
    (spec(PART | {"start": True}), f"{HERE}[0].start", "write `2.5s`"),
    (spec(PART | {"start": "1 min"}), f"{HERE}[0].start", "write `2.5s`"),
    (spec(PART | {"start": -1}), f"{HERE}[0].start", "did you mean 1?"),
    (spec(PART | {"stop": "4.1s"}), f"{HERE}[0].stop", "write 100 for its end"),
    (spec(PART | {"start": 97, "stop": 100}), f"{HERE}[0].start", "write less than 97"),
    (spec(PART | {"start": 0, "stop": 97}, PART), f"{HERE}[1].start", "make one of this and"),
    (spec(PART, PART | {"start": "2.3s", "stop": "3s"}), f"{HERE}[1].start", "make one of this and"),
    (spec(PART | {"stop": "3.5s"}, defaults={}), "videos[0].defaults", "belongs in"),
    (spec(PART | {"start": 8, "stop": 90, "num_frames": 89}), f"{HERE}[0].stop", "write `num_frames: 97`"),
    (spec(PART, job={"defaults": {"num_frames": 33}}), f"{HERE}[0].stop", "write `num_frames: 57`"),
    (spec(PART, upscale=None, job={"upscale": {}}), HERE, "leave `upscale` out"),
    (spec(PART, job={"engine": {"name": "comfyui"}}), HERE, "engine.name: diffusers"),
    (spec(PART | {"sound": True}), f"{HERE}[0].sound", "generate: true"),
    (spec(PART | {"picture": False}), f"{HERE}[0].picture", "generate: true"),
    (spec(PART | {"picture": False, "sound": False}), f"{HERE}[0]", "leave one of them out"),
    (spec(PART | {"prompt": None}), f"{HERE}[0].prompt", "say what the chunk shows"),
    (spec(PART | {"prompt": "a {mood} sea"}), f"{HERE}[0].prompt", "add `mood` to `matrix`"),
    (
        spec(
            PART,
            job={"defaults": {"references": [{"image": "face.png"}]}, "engine": {"loras": [{"path": "a/b"}]}},
        ),
        f"{HERE}[0]",
        "`references: []`",
    ),
    *((spec(PART | {field: 0}), f"{HERE}[0].{field}", f"remove `{field}`") for field in OF_CHUNKS),
    (spec(PART, source=None), "videos[0]", "add `source: {video: PATH}`"),
    (spec(PART, source={"latent": "a.safetensors"}), "videos[0]", "add `source: {video: PATH}`"),
    (spec(PART, chunks=[{"extend": {"prompt": "on"}}]), "videos[0]", "leave one of them out"),
]


@pytest.mark.parametrize(("data", "place", "remedy"), CASES)
def test_refused(data: dict[str, Any], place: str, remedy: str, folder: Path) -> None:
    found = {problem.place: problem for problem in problems(folder, data, probes=PROBES)}
    assert list(found) == [place]
    assert remedy in found[place].remedy


@pytest.mark.parametrize(
    "data",
    [
        spec(PART),
        spec(PART, PART | {"start": "3s", "stop": "4s"}),
        spec(PART | {"start": 0, "stop": 97}),
        spec(PART | {"prompt": "a {mood} sea"}, job={"matrix": {"mood": ["calm", "rough"]}}),
        spec(PART | {"picture": False}, sound=[{"generate": True}]),
    ],
)
def test_allowed(data: dict[str, Any], folder: Path) -> None:
    load(folder, data, probes=PROBES)


@pytest.mark.parametrize(
    ("start", "most"),
    [
        (0, "at most 81 frames made anew at once: 97 are sampled together, and 16 of them are held"),
        (1, "at most 80 frames made anew at once: 97 are sampled together, and 17 of them are held"),
        (17, "at most 72 frames made anew at once: 97 are sampled together, and 25 of them are held"),
    ],
)
def test_as_much_as_is_said_may_be_made_anew_at_once(start: int, most: str, folder: Path) -> None:
    """The first latent of a film shows one frame, as the first does of what is sampled together."""
    probes = Probes(video=lambda _: VideoFact(300, 640, 480, 25.0))
    (found,) = problems(folder, spec(PART | {"start": start, "stop": 150}), probes=probes)
    assert most in found.rule
    load(folder, spec(PART | {"start": start, "stop": start + int(most.split()[2])}), probes=probes)


def test_without_a_probe_order_alone_is_known(folder: Path) -> None:
    (found,) = problems(folder, spec(PART | {"stop": 3}, PART | {"stop": 900}), probes=Probes())
    assert found.place == f"{HERE}[0].stop"
