"""Records of this version, of one before and of one after."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from jobs.errors import NewerFormat
from jobs.records import Form, Unreadable, seal, unseal
from jobs.version import VERSION


@dataclass(frozen=True, slots=True)
class Part:
    name: str
    size: int = 3


@dataclass(frozen=True, slots=True)
class Whole:
    job: str
    parts: tuple[Part, ...] = ()
    notes: dict[str, str] = field(default_factory=dict)
    ended_s: float | None = None


FORM = Form("whole.json", Whole, format=2)
VALUE = Whole("harbor", (Part("a"), Part("b", 4)), {"k": "é"}, 2.5)


def test_a_document_comes_back_and_says_who_wrote_it() -> None:
    data = FORM.encode(VALUE)
    assert FORM.decode(data) == VALUE
    assert (json.loads(data)["format"], json.loads(data)["farm"]) == (2, VERSION)


def test_unknown_fields_are_passed_over_and_missing_ones_filled() -> None:
    record = {"job": "harbor", "parts": [{"name": "a", "colour": "red"}], "new": [1]}
    assert FORM.decode(seal(record)) == Whole("harbor", (Part("a"),))


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"job": 3}, r"job: 3 \(input should be a valid string\)"),
        ({"parts": [{"name": "a", "size": "many"}]}, r"parts\.0\.size: 'many'"),
        ({"parts": [{"size": 1}]}, r"parts\.0\.name: is missing"),
        ({"parts": {}}, "parts: {}"),
        ({"ended_s": "soon"}, "ended_s: 'soon'"),
    ],
)
def test_a_value_of_another_type_is_named(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(Unreadable, match=fault):
        FORM.decode(seal({**FORM.pack(VALUE), **changes}))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"job": "x"}', b"[" * 100_000])
def test_torn_and_altered_bytes_are_not_read(data: bytes) -> None:
    with pytest.raises(Unreadable):
        FORM.decode(data)
    whole = FORM.encode(VALUE)
    with pytest.raises(Unreadable, match="checksum"):
        unseal(whole.replace(b"harbor", b"harbur"))


def test_a_newer_format_is_read_as_far_as_it_can_be() -> None:
    newer = {**FORM.pack(VALUE), "format": 3, "farm": "9.9.9", "more": {}}
    assert FORM.decode(seal(newer)) == VALUE
    with pytest.raises(
        NewerFormat, match=rf"whole\.json .* farm 9\.9\.9 in format 3; this is farm {VERSION}"
    ):
        FORM.decode(seal({**newer, "parts": "two"}))
