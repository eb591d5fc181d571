"""What is refused around held images: place, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from jobs.planning.facts import Probes, VideoFact
from tests.jobs.spec_files import load, problems, require_refused

HERE = "videos[0].chunks"
STILL = {"image": "a.png", "frame": -1, "hold": True}
CLIP = {"video": "c.mp4", "frame": -17, "hold": True}


def spec(first: dict[str, Any], second: dict[str, Any] | None = None, **video: Any) -> dict[str, Any]:
    chunks = [{"generate": {"prompt": "noon", "num_frames": 81, **first}}]
    chunks += [{"extend": {"prompt": "later", **second}}] if second is not None else []
    return {
        "version": 3,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": chunks, **video}],
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png", "c.mp4"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


CASES: list[tuple[dict[str, Any], str, str]] = [
    (spec({"images": [{"image": "a.png"}]}), f"{HERE}[0].generate.images[0].frame", "add `frame`"),
    (spec({"images": [{"frame": 3}]}), f"{HERE}[0].generate.images[0]", "name one file"),
    (
        spec({"images": [{"video": "c.mp4", "frame": -17}]}, {}),
        f"{HERE}[0].generate.images[0]",
        "`hold: true`",
    ),
    (spec({"images": [{**CLIP, "frame": -16}]}, {}), f"{HERE}[0].generate.images[0].frame", "write -17"),
    (spec({"images": [{**CLIP, "frame": -9}]}, {}), f"{HERE}[0].generate.images[0].frame", "write -17"),
    (spec({"images": [CLIP]}), f"{HERE}[0].generate.images[0].video", "add an `extend`"),
    (
        spec({"images": [STILL, {**STILL, "image": "b.png"}]}, {}),
        f"{HERE}[0].generate.images[1].hold",
        "keep one",
    ),
    (spec({"images": [STILL, CLIP]}, {}), f"{HERE}[0].generate.images[1].hold", "keep one"),
    (spec({"images": [STILL]}, {"overlap_frames": 16}), f"{HERE}[1].extend.overlap_frames", "leave it out"),
    (spec({"images": [STILL]}, {}, sound=[{"generate": True}]), "videos[0].sound[0]", "leave `hold` out"),
    (spec({"takes": 2}), f"{HERE}[0].generate.takes", "write `shot: NAME`"),
    (spec({"takes": 0, "shot": "a"}), f"{HERE}[0].generate.takes", "at least 1"),
    (spec({"takes": 101, "shot": "a"}), f"{HERE}[0].generate.takes", "at most 100"),
    (spec({"images": [{**CLIP, "frame": -81}]}, {}), f"{HERE}[0].generate.images[0].video", "longer clip"),
]


def shot(**fields: Any) -> dict[str, Any]:
    video = {"name": "dawn", "shots": [{"name": "a", "seconds": 9.64, "prompt": "noon", **fields}]}
    return {"version": 3, "name": "harbor", "engine": {"name": "fake"}, "videos": [video]}


def clip_at(at: float, *more: dict[str, Any]) -> dict[str, Any]:
    return {"images": [{"at": at, "video": "c.mp4", "hold": True}, *more]}


SHOTS = "videos[0].shots"
CASES += [
    ({**shot(), "videos": [{"name": "dawn"}]}, "videos[0]", "add `shots"),
    ({**shot(), "videos": [{**shot()["videos"][0], "chunks": spec({})["videos"][0]["chunks"]}]}, "videos[0]",
     "leave one"),
    (shot(seconds=0), f"{SHOTS}[0].seconds", "more than 0"),
    (shot(prompt=None), f"{SHOTS}[0].prompt", "say what"),
    (shot(beats=[{"at": 9.64, "prompt": "x"}]), f"{SHOTS}[0].beats[0].at", "write less than 9.64"),
    (shot(beats=[{"at": 3, "prompt": "x"}, {"at": 3.05, "prompt": "y"}]),
     f"{SHOTS}[0].beats[1].at", "remove"),
    (shot(images=[{"at": 10, "image": "a.png"}]), f"{SHOTS}[0].images[0].at", "write at most 9.64"),
    (shot(images=[{"at": 1, "image": "gone.png"}]), f"{SHOTS}[0].images[0].image", "existing file"),
    (shot(images=[{"at": 1, "video": "c.mp4"}]), f"{SHOTS}[0].images[0]", "`hold: true`"),
    (shot(**clip_at(0)), f"{SHOTS}[0].images[0].at", "move it"),
    (shot(**clip_at(9.6)), f"{SHOTS}[0].images[0].at", "move it"),
    (shot(**clip_at(4), beats=[{"at": 4.3, "prompt": "x"}]), f"{SHOTS}[0].images[0].at", "move it"),
    (shot(**clip_at(4, {"at": 4.8, "image": "a.png", "hold": True})), f"{SHOTS}[0].images[1].hold", "keep"),
    ({**shot(), "defaults": {"frame_rate": 240}, "videos": shot(seconds=86400)["videos"]}, SHOTS, "split"),
]  # fmt: skip


@pytest.mark.parametrize(("data", "place", "remedy"), CASES)
def test_each_mistake_has_its_place_and_its_remedy(
    folder: Path, data: dict[str, Any], place: str, remedy: str
) -> None:
    require_refused(folder, data, place, remedy)


def test_the_chunk_behind_a_held_joint_lends_no_more_than_it_added(folder: Path) -> None:
    data = spec({"images": [STILL]}, {"num_new_frames": 16})
    more = {"extend": {"prompt": "later", "overlap_frames": 24}}
    data["videos"][0]["chunks"].append(more)
    (found,) = problems(folder, data)
    assert (found.place, "16 or less" in found.remedy) == (f"{HERE}[2].extend.overlap_frames", True)
    more["extend"]["overlap_frames"] = 16
    load(folder, data)


def test_sound_of_a_file_crosses_what_is_held(folder: Path) -> None:
    (folder / "score.wav").write_bytes(b"x")
    for mode in ("mux", "condition"):
        load(folder, spec({"images": [STILL]}, {}, sound=[{"file": "score.wav", "mode": mode}]))


def test_a_generate_behind_a_held_image_has_sound_of_its_own(folder: Path) -> None:
    data = spec({"images": [STILL]}, sound=[{"generate": True}])
    data["videos"][0]["chunks"].append({"generate": {"prompt": "night"}})
    load(folder, data)


def test_a_clip_is_looked_into(folder: Path) -> None:
    def refuses(path: str, part: object) -> None:
        raise ValueError(f"{path} is damaged, of {part}")

    probes = Probes(lambda _: VideoFact(40, 640, 480, 25.0), clip=refuses)
    (found,) = problems(folder, spec({"images": [CLIP]}, {}), probes=probes)
    assert found.place == f"{HERE}[0].generate.images[0].video"
    assert "is damaged" in found.value


def test_two_shots_of_one_name_are_refused(folder: Path) -> None:
    data = shot()
    data["videos"][0]["shots"] *= 2
    (found,) = problems(folder, data)
    assert (found.place, found.remedy) == (f"{SHOTS}[1].name", "give it another name")


def test_made_sound_is_refused_across_what_a_shot_holds(folder: Path) -> None:
    data = shot(images=[{"at": 4.8, "image": "a.png", "hold": True}])
    data["videos"][0]["sound"] = [{"generate": True}]
    (found,) = problems(folder, data)
    assert found.place == "videos[0].sound[0]"
    assert f"leave `hold` out in {SHOTS}[0].images" in found.remedy


def test_a_clip_of_a_shot_that_is_too_short_is_named_where_it_is_written(folder: Path) -> None:
    probes = Probes(lambda _: VideoFact(20, 640, 480, 25.0))
    (found,) = problems(folder, shot(**clip_at(4)), probes=probes)
    assert (found.place, found.value) == (f"{SHOTS}[0].images[0].video", "20 frames")
