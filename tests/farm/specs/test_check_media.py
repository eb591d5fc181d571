"""What is wrong with clips, sounds, pictures and latents is said while the spec is checked, at its place;
what becomes of those that are right is said beside the result."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from farm.options import RenderOptions
from farm.specs.load import load
from tests.farm.specs.media_specs import (
    EXTEND,
    GENERATE,
    clip,
    continued,
    damaged,
    document,
    ffmpeg,
    half,
    heard,
    problems,
    write_wav,
)


@pytest.mark.parametrize("name", ["clip.mkv", "clip.webm", "clip.avi"])
def test_a_clip_that_was_cut_in_half(name: str, tmp_path: Path) -> None:
    (problem,) = problems(continued(half(clip(tmp_path / name, 97))))
    assert problem.place == "videos[0].source.video"
    assert "was cut short" in problem.value


def test_a_clip_whose_index_stands_before_what_is_missing(tmp_path: Path) -> None:
    clip(tmp_path / "whole.mp4", 97)
    ffmpeg("-i", tmp_path / "whole.mp4", "-c", "copy", "-movflags", "+faststart", tmp_path / "fast.mp4")
    (problem,) = problems(continued(half(tmp_path / "fast.mp4")))
    assert "was cut short" in problem.value


def test_a_clip_without_sound_is_no_soundtrack(tmp_path: Path) -> None:
    (problem,) = problems(heard(clip(tmp_path / "mute.mp4", 24)))
    assert "could not read the sound: mute.mp4 holds none" in problem.value


def test_an_image_that_is_also_named_as_sound_is_no_sound_and_a_good_image(tmp_path: Path) -> None:
    path = tmp_path / "dawn.png"
    Image.new("RGB", (32, 32)).save(path)
    shown: dict[str, Any] = {"generate": {**GENERATE["generate"], "first_image": str(path)}}
    (problem,) = problems({**heard(path), "chunks": [shown]})
    assert problem.place == "videos[0].sound[0].file"


def test_a_clip_with_damaged_frames(tmp_path: Path) -> None:
    (problem,) = problems(continued(damaged(clip(tmp_path / "clip.mp4", 97))))
    assert problem.place == "videos[0].source.video"
    assert "could not read the video" in problem.value
    assert "thread" not in problem.value
    assert "@ 0x" not in problem.value


def test_damage_that_no_film_uses_is_no_matter(tmp_path: Path) -> None:
    source = {"video": str(damaged(clip(tmp_path / "clip.mp4", 97))), "last_frames": 17}
    assert load(document({"source": source, "chunks": [EXTEND]}), RenderOptions())


@pytest.mark.parametrize("odd", [np.nan, np.inf, -np.inf, 1e300])
def test_sound_that_is_no_number(odd: float, tmp_path: Path) -> None:
    samples = np.zeros(48_000, np.float64 if odd == 1e300 else np.float32)
    samples[12_000] = odd
    (problem,) = problems(heard(write_wav(tmp_path / "a.wav", samples)))
    assert problem.place == "videos[0].sound[0].file"
    assert "no finite number, 0.250 s after its start" in problem.value


def test_what_no_film_plays_is_not_heard(tmp_path: Path) -> None:
    samples = np.zeros(10 * 48_000, np.float32)
    samples[-1] = np.nan
    assert load(document(heard(write_wav(tmp_path / "a.wav", samples))), RenderOptions())
    assert problems(heard(tmp_path / "a.wav", at=-8.0))


@pytest.mark.parametrize("there", [24_000, 24_576])
def test_a_wav_whose_header_promises_more_than_there_is(there: int, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(there, np.int16), stated=4 * 96_000, form=1)
    (problem,) = problems(heard(path))
    assert problem.place == "videos[0].sound[0].file"
    assert "ends after 0.5" in problem.value
    assert "says 4.00 s" in problem.value


@pytest.mark.parametrize("stated", [0, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_states_no_length(stated: int, tmp_path: Path) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(48_000 * 3, np.int16), stated=stated, form=1)
    assert load(document(heard(path)), RenderOptions())


@pytest.mark.parametrize("name", ["a.flac", "a.mp3", "a.aiff", "a.m4a"])
def test_a_sound_file_that_was_cut_in_half(name: str, tmp_path: Path) -> None:
    ffmpeg("-f", "lavfi", "-i", "sine=r=48000", "-t", 3, "-movflags", "+faststart", tmp_path / name)
    (problem,) = problems(heard(half(tmp_path / name)))
    assert "copy it again" in problem.value


def test_a_video_that_was_cut_in_half_is_no_soundtrack(tmp_path: Path) -> None:
    path = half(clip(tmp_path / "a.mkv", 97, sound=True))
    (problem,) = problems(
        {"sound": [{"file": str(path)}], "chunks": [{"generate": {"prompt": "p", "num_frames": 97}}]}
    )
    assert "was cut short" in problem.value


@pytest.mark.parametrize(("name", "field"), [("a.png", "first_image"), ("a.jpg", "last_image")])
def test_a_damaged_picture(name: str, field: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / name)
    data = bytearray((tmp_path / name).read_bytes())
    if name == "a.png":
        data[data.find(b"IEND") - 5] ^= 1
    (tmp_path / name).write_bytes(bytes(data if name == "a.png" else data[: len(data) // 2]))
    chunk = {"generate": {**GENERATE["generate"], field: str(tmp_path / name)}}
    (problem,) = problems({"chunks": [chunk]})
    assert problem.place == f"videos[0].chunks[0].generate.{field}"
    assert problem.rule.startswith("an image")


def test_every_damaged_file_is_named_at_once(tmp_path: Path) -> None:
    nan = write_wav(tmp_path / "nan.wav", np.full(48_000, np.nan, np.float32))
    cut = half(clip(tmp_path / "cut.mkv", 97))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    picture = {"generate": {**GENERATE["generate"], "first_image": str(tmp_path / "a.png")}}
    found = problems(continued(cut), heard(nan), {"chunks": [picture]}, continued(cut))
    assert sorted(problem.place for problem in found) == [
        "videos[0].source.video",
        "videos[1].sound[0].file",
        "videos[2].chunks[0].generate.first_image",
        "videos[3].source.video",
    ]


def latents(path: Path, values: np.ndarray) -> dict[str, Any]:
    save_file({"latents": values}, path)
    return {"source": {"latent": str(path)}, "chunks": [EXTEND]}


Damage = Callable[[Path], None]


def cut_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def overlapping(path: Path) -> None:
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["other"] = header["latents"]
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])


@pytest.mark.parametrize(("damage", "fault"), [(cut_end, "not copied whole"), (overlapping, "is damaged")])
def test_latents_that_are_not_what_their_header_says(damage: Damage, fault: str, tmp_path: Path) -> None:
    video = latents(tmp_path / "a.safetensors", np.zeros((1, 128, 5, 2, 2), np.float32))
    damage(tmp_path / "a.safetensors")
    (problem,) = problems(video)
    assert problem.place == "videos[0].source.latent"
    assert fault in problem.value


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, "bf16"])
def test_latents_that_are_no_numbers(dtype: Any, tmp_path: Path) -> None:
    values = np.zeros((1, 128, 5, 2, 2), np.float32 if dtype == "bf16" else dtype)
    values[0, 100, 3, 1, 1] = np.nan
    video = latents(tmp_path / "a.safetensors", values)
    if dtype == "bf16":
        header = {
            "latents": {"dtype": "BF16", "shape": values.shape, "data_offsets": [0, values.nbytes // 2]}
        }
        text = json.dumps(header).encode()
        bits = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
        (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bits)
    (problem,) = problems(video)
    assert problem.place == "videos[0].source.latent"
    assert "no finite numbers" in problem.value
    video["source"]["last_frames"] = 9
    assert problems(video)
    values[0, 100, 3, 1, 1] = 0
    values[0, 100, 0, 1, 1] = np.nan
    if dtype != "bf16":
        assert load(document({**latents(tmp_path / "b.safetensors", values), "source": {
            "latent": str(tmp_path / "b.safetensors"), "last_frames": 17}}), RenderOptions())  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "dtype", "fault"),
    [
        ((1, 128, 1026, 2, 2), np.float16, "8201 frames"),
        ((1, 16, 5, 2, 2), np.float32, "16 channels"),
        ((1, 128, 5, 2, 2), np.int32, "I32 numbers"),
        ((2, 128, 5, 2, 2), np.float32, "no tensor"),
    ],
)
def test_latents_that_no_film_opens_with(
    shape: tuple[int, ...], dtype: Any, fault: str, tmp_path: Path
) -> None:
    (problem,) = problems(latents(tmp_path / "a.safetensors", np.zeros(shape, dtype)))
    assert problem.place.startswith("videos[0].source")
    assert fault in problem.value


# What is said of files that are as they should be.
