"""Specs of earlier versions as texts of the newest: only what left the spec goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.loading.migrate import RemovedField, migrate
from jobs.parsing.document import parse_json, parse_yaml
from jobs.spec.versions import NEWEST

FOLDER = "give --comfyui /opt/ComfyUI or set COMFYUI_PATH=/opt/ComfyUI"
TRUSTED = "give --allow-pickle if you trust the weights"
BLOCK = """\
# The harbour at dawn.
version: 1   # of the format
name: "harbor"

engine:
  name: comfyui
  # Where our cores lie.
  comfyui: /opt/ComfyUI   # the old machine
  checkpoint: a.safetensors

  # Weights of a friend.
  allow_pickle: true
# What is filmed.
videos:
- {name: dawn, chunks: [{generate: {prompt: 'a: b # c', num_frames: 9}}]}
"""
MIGRATED = """\
# The harbour at dawn.
version: 3   # of the format
name: "harbor"

engine:
  name: comfyui
  # Where our cores lie.
  checkpoint: a.safetensors

  # Weights of a friend.
# What is filmed.
videos:
- {name: dawn, chunks: [{generate: {prompt: 'a: b # c', num_frames: 9}}]}
"""
VIDEOS = "videos: [{name: dawn, chunks: [{generate: {prompt: p, num_frames: 9}}]}]\n"


def test_comments_order_and_spelling_stay() -> None:
    changed = migrate(BLOCK, "film.yaml")
    assert changed.text == MIGRATED
    assert changed.removed == (
        RemovedField("engine.comfyui", '"/opt/ComfyUI"', 8, FOLDER),
        RemovedField("engine.allow_pickle", "true", 12, TRUSTED),
    )
    assert migrate(MIGRATED, "film.yaml").text == MIGRATED


def test_line_ends_stay() -> None:
    windows = BLOCK.replace("\n", "\r\n")
    assert migrate(windows, "film.yaml").text == MIGRATED.replace("\n", "\r\n")


@pytest.mark.parametrize(
    ("engine", "left"),
    [
        ("engine: {name: comfyui, comfyui: /opt/ComfyUI}", "engine: {name: comfyui}"),
        ("engine: {comfyui: /opt/ComfyUI, name: comfyui}", "engine: {name: comfyui}"),
        ("engine: {name: comfyui, allow_pickle: true, comfyui: ~, }", "engine: {name: comfyui, }"),
        ("engine: {allow_pickle: true, name: comfyui, comfyui: ~} # x", "engine: {name: comfyui} # x"),
        ("engine: {allow_pickle: false, comfyui: ~, name: comfyui}", "engine: {name: comfyui}"),
        ("engine: {comfyui: /opt/ComfyUI}\n# next", "# next"),
        ("engine:\n  comfyui: /opt/ComfyUI\n  allow_pickle: true\n# next", "# next"),
        ("engine:\n  allow_pickle: true\n  comfyui: |-\n    /opt\n  name: fake", "engine:\n  name: fake"),
        (
            "engine:\n  comfyui:\n    - a\n\n  # its name\n  name: fake",
            "engine:\n\n  # its name\n  name: fake",
        ),
        ("engine:\n    'comfyui' : >\n      /opt/\n      ComfyUI\n    name: fake", "engine:\n    name: fake"),
    ],
)
def test_each_way_of_writing(engine: str, left: str) -> None:
    for version in ("", "version: 1\n"):
        text = f"{version}name: harbor\n{engine}\n{VIDEOS}"
        expected = f"{version.replace('1', '3')}name: harbor\n{left}\n{VIDEOS}"
        assert migrate(text, "film.yaml").text == expected


@pytest.mark.parametrize(("guided", "instead"), [(True, "overlap"), (False, "none")])
def test_what_a_second_passs_chunks_share_is_said_in_another_field(guided: bool, instead: str) -> None:
    text = f"name: harbor\nupscale: {{guided: {str(guided).lower()}, steps: 4}}\n{VIDEOS}"
    changed = migrate(text, "film.yaml")
    assert changed.text == f"name: harbor\nupscale: {{steps: 4}}\n{VIDEOS}"
    assert [(field.place, field.instead) for field in changed.removed] == [
        ("upscale.guided", f"write `joint: {instead}`")
    ]


@pytest.mark.parametrize("indent", [None, 2])
def test_json(indent: int | None) -> None:
    data: dict[str, Any] = {"version": 1, "name": "harbor", "videos": []}
    engine = {"allow_pickle": False, "name": "comfyui", "comfyui": "/opt/ComfyUI"}
    text = json.dumps({**data, "engine": engine}, indent=indent)
    changed = migrate(text, "film.json", as_json=True)
    kept = {**data, "version": NEWEST, "engine": {"name": "comfyui"}}
    assert changed.text == json.dumps(kept, indent=indent)
    assert parse_json(changed.text).data == kept


@pytest.mark.parametrize(
    "engine",
    [
        "base: &base {comfyui: /opt/ComfyUI}\nengine: {<<: *base, name: comfyui}",
        "engine: {name: comfyui, comfyui: &here /opt/ComfyUI, checkpoint: *here}",
        "engine: {\n  name: comfyui, # the core\n  comfyui: /opt/ComfyUI}",
    ],
)
def test_what_cannot_be_cut_out_alone_is_left_to_its_writer(engine: str) -> None:
    text = f"version: 1\nname: harbor\n{engine}\n{VIDEOS}"
    with pytest.raises(SpecError) as caught:
        migrate(text, "film.yaml")
    (problem,) = caught.value.problems
    assert (problem.place, problem.value) == ("engine.comfyui", '"/opt/ComfyUI"')
    assert problem.remedy == f"remove it by hand, and {FOLDER}"


@pytest.mark.parametrize("version", ["4", "0", "'1'", "true", "1.0"])
def test_another_version_is_refused(version: str) -> None:
    with pytest.raises(SpecError, match="a version from 1 to 3"):
        migrate(f"version: {version}\nname: harbor\n{VIDEOS}", "film.yaml")


def test_both_versions_are_read_and_what_left_says_what_to_do() -> None:
    kept = parse_yaml(f"name: harbor\n{VIDEOS}").data
    specs = [load_spec({**kept, "version": version}).spec for version in (1, 2, 3)]
    assert specs[0].model_dump(exclude={"version"}) == specs[1].model_dump(exclude={"version"})
    for version in (1, 2, 3):
        with pytest.raises(SpecError, match="remove it, as `farm migrate` does, and give --comfyui"):
            load_spec({**kept, "version": version, "engine": {"comfyui": "/opt/ComfyUI"}})
    with pytest.raises(SpecError, match="at most 3, the newest that this farm reads"):
        load_spec({**kept, "version": 4})


SOUNDS = """\
version: 2
name: x
videos:
  - name: a
    audio: generate   # made
    chunks: [{generate: {prompt: p}}]
  - audio:
      # ours
      sample_rate: 44100   # of the disc
      file: 'a b.wav'  # the score
      offset: -1.5
    name: b
  - {name: c, audio: {mode: "generate", sample_rate: 44100}, chunks: []}
  - {name: d, 'audio': {file: x.wav, offset: 2, mode: condition}}
  - {name: e, audio: ~}
"""
AS_TRACKS = """\
version: 3
name: x
videos:
  - name: a
    sound: [{generate: true}]   # made
    chunks: [{generate: {prompt: p}}]
  - mix: {sample_rate: 44100}
    sound:
      # ours
    - file: 'a b.wav'  # the score
      at: -1.5
    name: b
  - {name: c, mix: {sample_rate: 44100}, sound: [{generate: true}], chunks: []}
  - {name: d, 'sound': [{file: x.wav, at: 2, mode: condition}]}
  - {name: e, sound: []}
"""


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_audio_becomes_a_list_of_tracks(ends: str) -> None:
    changed = migrate(SOUNDS.replace("\n", ends), "film.yaml")
    assert changed.text == AS_TRACKS.replace("\n", ends)
    assert changed.removed == ()
    assert migrate(changed.text, "film.yaml").text == changed.text


@pytest.mark.parametrize("indent", [None, 2])
def test_audio_in_json(indent: int | None) -> None:
    videos: list[dict[str, Any]] = [
        {"audio": {"file": "x", "sample_rate": 44100, "offset": 1}, "name": "a"},
        {"name": "b", "audio": "generate"},
        {"audio": {"mode": "generate"}},
    ]
    text = json.dumps({"version": 2, "videos": videos}, indent=indent)
    read = parse_json(migrate(text, "film.json", as_json=True).text).data
    assert read == {
        "version": NEWEST,
        "videos": [
            {"name": "a", "sound": [{"file": "x", "at": 1}], "mix": {"sample_rate": 44100}},
            {"name": "b", "sound": [{"generate": True}]},
            {"sound": [{"generate": True}]},
        ],
    }


@pytest.mark.parametrize(
    "videos",
    ["- audio: x.wav", "- audio:\n   file: x.wav", "- {<<: &b {audio: generate}, name: a}"],
)
def test_audio_that_cannot_be_rewritten_is_left_to_its_writer(videos: str) -> None:
    with pytest.raises(SpecError) as caught:
        migrate(f"version: 2\nvideos:\n{videos}\n", "film.yaml")
    (problem,) = caught.value.problems
    assert problem.place == "videos[0].audio"
    assert problem.remedy.startswith("write `sound: [{")
    assert problem.remedy.endswith("by hand")
