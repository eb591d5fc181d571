"""Tracks that do not fit their video are refused, with what does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.jobs.spec_files import load, problems

GENERATED: dict[str, Any] = {"generate": True}
HEARD: dict[str, Any] = {"file": "score.wav", "mode": "condition"}
MUSIC: dict[str, Any] = {"file": "score.wav"}
NAMED = [{"generate": {"prompt": "a", "shot": "pier"}}, {"generate": {"prompt": "b", "shot": "boat"}}]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "score.wav").write_bytes(b"x")
    return tmp_path


def spec(*sound: dict[str, Any], **video: Any) -> dict[str, Any]:
    shots = [{"name": name, "seconds": 1.0, "prompt": "p"} for name in ("pier", "boat", "gulls")]
    laid = {} if "chunks" in video else {"shots": shots}
    film = {"name": "film", "sound": list(sound), **laid, **video}
    return {"name": "x", "engine": {"name": "fake"}, "videos": [film]}


CASES: list[tuple[dict[str, Any], str, str]] = [
    (spec({**MUSIC, "shot": "peir"}), "[0].shot", "did you mean `pier`?"),
    (spec({**MUSIC, "shot": "night"}), "[0].shot", "write one of these"),
    (spec({**MUSIC, "shot": "boats"}, chunks=NAMED), "[0].shot", "did you mean `boat`?"),
    (spec({**MUSIC, "shot": "pier"}, chunks=[NAMED[0], NAMED[0]]), "[0].shot", "a name of its own"),
    (spec({**MUSIC, "name": "a"}, {**MUSIC, "name": "A"}), "[1].name", "another name"),
    (spec(GENERATED, HEARD), "[1]", "a `shot` of its own"),
    (spec(GENERATED, {**GENERATED, "shot": "boat"}), "[1]", "a `shot` of its own, or leave one out"),
    (spec({**HEARD, "shot": "boat"}, MUSIC, {**GENERATED, "shot": "boat"}), "[2]", "a `shot` of its own"),
    (spec({**MUSIC, "duck": True}, {**MUSIC, "duck": {"by_db": 6.0}}), "[0].duck", "add a track"),
]


@pytest.mark.parametrize(("data", "place", "remedy"), CASES)
def test_each_mistake_has_its_place_and_its_remedy(
    folder: Path, data: dict[str, Any], place: str, remedy: str
) -> None:
    found = {problem.place: problem for problem in problems(folder, data)}
    assert f"videos[0].sound{place}" in found
    assert remedy in found[f"videos[0].sound{place}"].remedy


def test_a_shot_that_is_no_name_is_all_that_is_said(folder: Path) -> None:
    (found,) = problems(folder, spec({**GENERATED, "shot": 3}, {**GENERATED, "shot": "boat"}))
    assert found.place == "videos[0].sound[0].shot"


def test_each_shot_may_have_a_sound_of_its_own(folder: Path) -> None:
    load(
        folder, spec({**GENERATED, "shot": "pier"}, {**HEARD, "shot": "boat"}, MUSIC, {**MUSIC, "duck": True})
    )
    load(folder, spec({**GENERATED, "shot": "boat"}, chunks=NAMED))
