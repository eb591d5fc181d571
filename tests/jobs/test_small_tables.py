"""The pure tables and helpers of jobs: formats, samplers, places, canonical JSON."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from jobs.canonical import canonical_json, sha256_of
from jobs.formats import CODECS, CONTAINERS, containers_of, usual_codec
from jobs.places import nearest, place_of, shown
from jobs.spec.base import SAFE_NAME, nearest_steps, safe_name


def test_every_codec_fits_somewhere_and_every_container_takes_known_ones() -> None:
    assert all(containers_of(codec) for codec in CODECS)
    assert all(codec in CODECS for container in CONTAINERS.values() for codec in container.codecs)
    assert {name: usual_codec(name) for name in CONTAINERS} == {
        "mp4": "h264", "mkv": "h264", "mov": "h264", "png-sequence": "png",
    }  # fmt: skip
    assert "mp4" not in containers_of("prores")
    assert CONTAINERS["mkv"].sounds[0] == "flac"


def test_places() -> None:
    assert place_of(("videos", 0, "chunks", 2, "extend")) == "videos[0].chunks[2].extend"
    assert place_of(()) == ""


SHOWN: list[tuple[object, str]] = [
    ("x", '"x"'),
    (True, "true"),
    (None, "null"),
    (3, "3"),
    (2.5, "2.5"),
    (math.inf, "inf"),
    ([1, "a"], '[1, "a"]'),
    ({"a": 1}, "a mapping of 1 key"),
    ([1] * 9, "a list of 9 items"),
    (10**5000, "a number of 16610 bits"),
    (b"x", "bytes"),
]


@pytest.mark.parametrize(("value", "text"), SHOWN, ids=[text for _, text in SHOWN])
def test_values_are_shown_short_and_safe(value: object, text: str) -> None:
    assert shown(value) == text
    assert len(shown("x" * 10**6)) <= 60


def test_the_nearest_word_wins() -> None:
    assert nearest("cgf", ["crf", "cfg", "steps"]) == "cfg"
    assert nearest("promt", ["prompt", "steps"]) == "prompt"
    assert nearest("zzz", ["prompt", "steps"]) is None


def test_nearest_legal_numbers() -> None:
    assert nearest_steps(98, 8, 1, 9, 8193) == (97, 105)
    assert nearest_steps(-5, 8, 1, 9, 8193) == (9,)
    assert nearest_steps(10**12, 8, 1, 9, 8193) == (8193,)


@pytest.mark.parametrize("text", ["../x", "a/b", "con\0", "...", "-", "", "über", "x" * 500, "a."])
def test_a_proposed_name_is_legal(text: str) -> None:
    assert SAFE_NAME.fullmatch(safe_name(text))
    assert not SAFE_NAME.fullmatch(text)


@dataclass(frozen=True)
class Pair:
    b: float
    a: tuple[int, ...]


def test_canonical_json_has_one_spelling() -> None:
    assert canonical_json(Pair(0.1, (1, 2))) == '{"a":[1,2],"b":0.1}'
    assert sha256_of({"x": 1, "a": 2}) == sha256_of({"a": 2, "x": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json(math.nan)
