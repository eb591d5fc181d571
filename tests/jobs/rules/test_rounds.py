"""What temporal rounds cannot go with is refused: place, rule and remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from actors.models import TINY_CHECKPOINT
from jobs.planning.facts import Probes, VideoFact
from jobs.weights.use import holds_temporal_upsampler
from tests.jobs.rules.test_references import ic_lora
from tests.jobs.spec_files import load, problems, require_refused
from tests.official.ltx2_files import write_single_file
from tests.official.upsamplers import write_temporal

PROBES = Probes(lambda _: VideoFact(40, 640, 480, 25.0))
CLIP = {"video": "c.mp4", "frame": -17, "hold": True}


def spec(upscale: dict[str, Any], first: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    video = {"name": "dawn", **more.pop("video", {})}
    chunks = [
        {"generate": {"prompt": "noon", "num_frames": 81, **(first or {})}},
        {"extend": {"prompt": "later"}},
    ]
    return {
        "version": 3,
        "name": "harbor",
        "engine": {"name": "fake"},
        "upscale": {"temporal": 4, **upscale},
        "videos": [{"chunks": chunks, **video}],
        **more,
    }


CASES: list[tuple[dict[str, Any], str, str]] = [
    (spec({"temporal": 3}), "upscale.temporal", "write"),
    (spec({"spatial": 1.5}), "upscale.spatial", "write `spatial: 2`"),
    (spec({"joint": "overlap"}), "upscale.joint", "leave `joint` out"),
    (spec({"joint": "none"}), "upscale.joint", "leave `joint` out"),
    (spec({"steps": 0}), "upscale.steps", "leave `steps` out"),
    (spec({"denoise": 0}), "upscale.denoise", "leave `denoise` out"),
    (spec({}, engine={"name": "comfyui"}), "engine.name", "`engine.name: diffusers`"),
    (spec({}, defaults={"frame_rate": 48}), "defaults.frame_rate", "write 30 or less"),
    (spec({}, matrix={"frame_rate": [24, 48]}), "matrix.frame_rate[1]", "write 30 or less"),
    (
        spec({}, matrix={"frame_rate": [24, 48]}, defaults={"frame_rate": 60}),
        "matrix.frame_rate[1]",
        "write 30 or less",
    ),
    (spec({}, video={"frame_rate": 60}), "videos[0].frame_rate", "write 30 or less"),
    (spec({}, {"images": [CLIP]}), "videos[0].chunks[0].generate.images[0].video", "in place of `video`"),
    (spec({}, video={"source": {"video": "c.mp4"}}), "videos[0].source", "without the source"),
    (
        spec({}, video={"source": {"video": "c.mp4"}, "chunks": [{"extend": {"prompt": "noon"}}]}),
        "videos[0].source",
        "without the source and begin with a `generate`",
    ),
]


NO_ROUNDS = (1, 0.5, -2, True, "off", "none", "4")


@pytest.mark.parametrize("temporal", NO_ROUNDS)
def test_what_asks_for_no_rounds_is_no_mistake_of_the_engine(folder: Path, temporal: Any) -> None:
    data = spec({"temporal": temporal}, engine={"name": "comfyui"})
    assert [problem.place for problem in problems(folder, data)] == ["upscale.temporal"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "c.mp4").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(("data", "place", "remedy"), CASES)
def test_each_mistake_has_its_place_and_its_remedy(
    folder: Path, data: dict[str, Any], place: str, remedy: str
) -> None:
    require_refused(folder, data, place, remedy)


def test_stills_are_the_joint_of_films_with_rounds(folder: Path) -> None:
    for upscale, joint in (({}, "still"), ({"temporal": 0}, "overlap"), ({"joint": "still"}, "still")):
        loaded = load(folder, spec(upscale))
        assert loaded.spec.upscale is not None
        assert loaded.spec.upscale.joint == joint


def with_models(**engine: Any) -> dict[str, Any]:
    named = {"name": "diffusers", "text_encoder": "owner/gemma", **engine}
    return spec({}, engine=named, video={"chunks": [{"generate": {"prompt": "noon"}}]})


@pytest.mark.parametrize(
    ("version", "place"), [("2.5", "engine.temporal_upscale_model"), ("2.3", "upscale.temporal")]
)
def test_a_model_without_keyframes_or_an_upsampler_in_time_is_refused(
    folder: Path, version: str, place: str
) -> None:
    checkpoint = write_single_file(folder / "ltx.safetensors", version)
    data = with_models(checkpoint=str(checkpoint), upscale_model="owner/upsampler")
    assert [problem.place for problem in problems(folder, data)] == [place]


@pytest.mark.parametrize("model", ["checkpoint", "diffusion_model"])
def test_a_model_that_is_not_here_needs_the_upsampler_in_time_too(folder: Path, model: str) -> None:
    beside = {"vae": "owner/vae"} if model == "diffusion_model" else {}
    data = with_models(**{model: "owner/ltx-2.5"}, **beside, upscale_model="owner/upsampler")
    assert [problem.place for problem in problems(folder, data)] == ["engine.temporal_upscale_model"]


def test_the_upsampler_in_time_of_a_folder_is_named(folder: Path) -> None:
    """What is in a folder beside the transformer counts in no digest."""
    (folder / "ltx" / "temporal_latent_upsampler").mkdir(parents=True)
    assert not holds_temporal_upsampler(folder / "ltx")


@pytest.mark.parametrize(
    ("strength", "scale", "remedy"),
    [
        (0.5, 2, "and `rounds: 0`"),
        ({"upscale": 0.5}, 2, "and `rounds: 0`"),
        ({"upscale": 0.5, "rounds": 0.0}, 1, "leave `upscale` out of it"),
        ({"upscale": 0.5, "rounds": 0.0}, 2, ""),
        ({"sample": 1.0}, 1, ""),
    ],
)
def test_an_ic_lora_sees_the_first_pass_and_nothing_in_the_rounds(
    folder: Path, strength: Any, scale: int, remedy: str
) -> None:
    checkpoint = write_single_file(folder / "ltx.safetensors", "2.5")
    loras = [{"path": ic_lora(folder, scale), "strength": strength}]
    engine = {"checkpoint": str(checkpoint), "upscale_model": "owner/upsampler", "loras": loras}
    data = with_models(**engine, temporal_upscale_model=str(write_temporal(folder / "t.safetensors")))
    if not remedy:
        load(folder, data)
        return
    (found,) = problems(folder, data)
    assert (found.place, remedy in found.remedy) == ("engine.loras[0].strength", True)


def test_the_bundled_model_has_an_upsampler_in_time(folder: Path) -> None:
    data = spec({}, engine={"name": "diffusers"})
    load(folder, data, probes=Probes(bundled=TINY_CHECKPOINT))


def test_the_upsampler_in_time_is_told_by_its_header(folder: Path) -> None:
    checkpoint = write_single_file(folder / "ltx.safetensors", "2.5")
    temporal = write_temporal(folder / "temporal.safetensors")
    engine = {"checkpoint": str(checkpoint), "upscale_model": "owner/upsampler"}
    load(folder, with_models(**engine, temporal_upscale_model=str(temporal)))
    data = with_models(**engine, temporal_upscale_model=str(checkpoint))
    (found,) = problems(folder, data)
    assert found.place == "engine.temporal_upscale_model"
    assert "no latent upsampler in time" in found.rule


@pytest.mark.parametrize("remedy", ['"image": "c.png", "frame": -1', "temporal: 0"])
def test_a_held_clip_is_mended_in_one_go(remedy: str, folder: Path) -> None:
    """Each of the two remedies, as it is said, leaves nothing to mend."""
    Image.new("RGB", (64, 64)).save(folder / "c.png")
    said = spec({}, {"images": [CLIP]})
    (problem,) = problems(folder, said, probes=PROBES)
    assert problem.remedy == (
        'hold a still of it, `image: "c.png", frame: -1` in place of `video`, or `temporal: 0`'
    )
    still = {"image": "c.png", "frame": -1, "hold": True}
    mended = spec({}, {"images": [still]}) if "image" in remedy else spec({"temporal": 0}, {"images": [CLIP]})
    assert load(folder, mended, probes=PROBES).spec.videos


def test_a_number_of_rounds_that_there_is_not_hides_no_other_mistake(folder: Path) -> None:
    upscale, rate = {"temporal": 3, "joint": "overlap", "spatial": 1.5}, {"frame_rate": 60}
    wrong = spec(upscale, engine={"name": "comfyui"}, defaults=rate)
    assert {problem.place for problem in problems(folder, wrong)} >= {
        "engine.name",
        "defaults.frame_rate",
        "upscale.temporal",
        "upscale.joint",
        "upscale.spatial",
    }
