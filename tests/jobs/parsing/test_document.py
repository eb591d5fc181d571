"""Spec text: YAML and JSON, and what hostile files get."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.parsing.document import from_mapping, parse_yaml, read_document
from jobs.parsing.text import MAX_TEXT_BYTES

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGE_BOMB = "a: &a {k: 1}\n" + "\n".join(
    f"{name}: &{name} {{<<: [{','.join([f'*{before}'] * 9)}]}}"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


def test_plain_values() -> None:
    text = "a: 1\nb: 2.5\nc: true\nd: null\ne: text\nf: [1, 2]\ng: {h: 1e-3}\ni: 2026-01-01\n"
    assert parse_yaml(text).data == {
        "a": 1, "b": 2.5, "c": True, "d": None, "e": "text", "f": [1, 2], "g": {"h": 0.001},
        "i": "2026-01-01",
    }  # fmt: skip


@pytest.mark.parametrize("word", ["off", "no", "yes", "on", "No", "y", "ON"])
def test_only_true_and_false_are_no_words(word: str) -> None:
    assert parse_yaml(f"a: {word}\n{word}: b\n").data == {"a": word, word: "b"}
    assert parse_yaml("a: [true, True, FALSE]\n").data == {"a": [True, True, False]}


def test_a_key_that_is_no_word_is_quoted_as_it_is_written() -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml("a: {True: 1}\n")
    assert caught.value.problems[0].remedy == 'write "True", in quotes, or remove it'


@pytest.mark.parametrize("text", ["a: 1\n\tb: 2\n", "a:\n  b: 1\n\tc: 2\n", "a:\n\t- b\n"])
def test_a_tab_is_called_one(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text)
    assert caught.value.problems[0].value == "a tab"


@pytest.mark.parametrize("text", ["a: b: c", "a: 1\n  b: 2\n"])
def test_a_colon_where_none_can_be_is_told_how_to_mend(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text)
    assert "put text that holds `: ` in quotes" in caught.value.problems[0].remedy


def test_what_is_no_text_is_kept_as_it_is_written() -> None:
    assert parse_yaml("a: 007\nb: [x, True]\n").written == {("a",): "007", ("b", 1): "True"}


def test_every_place_has_its_line() -> None:
    lines = parse_yaml("name: x\nvideos:\n  - name: a\n    chunks:\n      - generate: {prompt: p}\n").lines
    assert lines[("name",)] == 1
    assert lines[("videos", 0, "name")] == 3
    assert lines[("videos", 0, "chunks", 0, "generate", "prompt")] == 5


def test_aliases_and_merges_are_expanded() -> None:
    text = "base: &b {steps: 3, cfg: 2}\none: *b\ntwo: {<<: *b, steps: 4}\nthree: {<<: [{cfg: 9}, *b]}\n"
    data = parse_yaml(text).data
    assert data["one"] == {"steps": 3, "cfg": 2}
    assert data["two"] == {"steps": 4, "cfg": 2}
    assert data["three"] == {"steps": 3, "cfg": 9}


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("", "spec"),
        ("- 1", "spec"),
        ("just text", "spec"),
        ("a: [", "spec:2:1"),
        ("\ta: 1", "spec:1:1"),
        ("a: \x07", "spec:1:4"),
        ("--- 1\n--- 2", "spec:2:1"),
        ("a: 1\nb: 2\na: 3", "a"),
        ("a: {b: {c: 1, c: 2}}", "a.b.c"),
        ("1: x", "spec"),
        ("? [a]\n: b", "spec"),
        ("a: !!binary aGk=", "a"),
        ("a: !!python/object/apply:os.system [ls]", "a"),
        ("a: !!python/name:os.system", "a"),
        ("a: !mine 3", "a"),
        ("a: !!set {x}", "a"),
        ("a: !!int foo", "a"),
        ("a: !!float foo", "a"),
        ("a: !!bool maybe", "a"),
        ("a: !!timestamp foo", "a"),
        ("a: " + "9" * 6000, "a"),
        ("a: &x [*x]", "spec"),
        ("a: &x {b: *x}", "spec"),
        ("a: &x {<<: *x}", "spec"),
        ("a: *missing", "spec:1:4"),
        ("<<: 3", "spec"),
        ("%YAML 9.9\n---\na: 1", "spec:1:1"),
        ("[" * 100_000, "spec"),
        ("{a: " * 100_000, "spec"),
        ("\n".join(" " * depth + "a:" for depth in range(200)), "spec"),
    ],
)
def test_hostile_yaml_is_an_error_with_a_place(text: str, place: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_yaml(text)
    (problem,) = caught.value.problems
    assert problem.place == place
    assert problem.rule
    assert problem.remedy


@pytest.mark.parametrize("text", [BOMB, MERGE_BOMB])
def test_alias_bombs_are_refused_at_once(text: str) -> None:
    started = time.process_time()
    with pytest.raises(SpecError, match="too many values"):
        parse_yaml(text)
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("12:30:45", "12:30:45"),
        ("1_000", "1_000"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("+3", 3),
        ("0b1", "0b1"),
        (".5", 0.5),
        ("-1.e3", -1000.0),
        ("-.INF", float("-inf")),
        ("!!str 3", "3"),
        ("! 3", "3"),
        ("!!float 3", 3.0),
        ("!!int 3", 3),
        ("'3'", "3"),
        ("2026-11-29", "2026-11-29"),
    ],
)
def test_values_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = parse_yaml(f"a: {text}").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_a_number_that_could_only_be_slow_is_refused_at_once() -> None:
    """As YAML 1.1 reads it, to base 60, this takes a time that grows with its square."""
    started = time.process_time()
    assert parse_yaml("seed: 1" + ":59" * 300_000).data["seed"].startswith("1:59:59")
    with pytest.raises(SpecError, match="a number of 900000 characters"):
        parse_yaml("seed: " + "9" * 900_000)
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "text",
    [
        "".join(f"%TAG !a{index}! b\n" for index in range(100_000)) + "---\na: 1\n",
        "a: [" + "1," * 900_000 + "]",
        "- x\n" * 400_000,
        "".join(f"k{index}: &a{index} 1\n" for index in range(100_000)),
        "? " * 900_000,
        "{" * 900_000,
    ],
    ids=lambda text: text[:8],
)
def test_two_megabytes_of_anything_are_answered_soon(text: str) -> None:
    started = time.process_time()
    with pytest.raises(SpecError):
        parse_yaml(text)
    assert time.process_time() - started < 10


def test_aliases_mean_the_anchor_before_them() -> None:
    assert parse_yaml("a: &x 1\nb: *x\nc: &x 2\nd: *x\n").data == {"a": 1, "b": 1, "c": 2, "d": 2}
    assert parse_yaml("a: &x b\n*x : 1\n").data == {"a": "b", "b": 1}


def nested(depth: int) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = {"a": data}
    return data


def endless() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["a"] = [data]
    return data


@pytest.mark.parametrize(
    ("data", "place", "value"),
    [
        (nested(1000), "the spec", "nested too deeply"),
        (endless(), "the spec", "nested too deeply"),
        ({"a": [0] * 200_000}, "a[119998]", "too many values"),
        ({"a": {"b": 10**5000}}, "a.b", "a number of 16610 bits"),
        ({"a": {3: 1}}, "a", "3"),
        ({"a": {"k" * 201: 1}}, "a." + "k" * 80, "a key of 201 characters"),
        ({"a": ["x" * 16_000_001]}, "a[0]", "larger than a spec"),
        ({"a": "\ud800"}, "a", "half of a character"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, str) else "",
)
def test_mappings_from_python_have_the_same_bounds(data: Any, place: str, value: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_mapping(data)
    (problem,) = caught.value.problems
    assert (problem.place, problem.value) == (place, value)


def test_a_mapping_is_copied() -> None:
    data = {"a": {"b": [1, (2, 3)]}, "c": Path("x")}
    copy = from_mapping(data).data
    assert copy == {"a": {"b": [1, [2, 3]]}, "c": Path("x")}
    assert copy["a"] is not data["a"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le", "latin-1"])
def test_other_encodings_are_named(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes("name: jörg\n".encode(encoding))
    with pytest.raises(SpecError) as caught:
        read_document(path)
    (problem,) = caught.value.problems
    named = {"utf-16": "UTF-16", "utf-32": "UTF-32"}
    assert problem.value == named.get(encoding, problem.value)
    assert problem.remedy in ("save it as UTF-8", "remove it")


def test_pipes_and_devices_are_never_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(1 << 40)
    for name, value in {
        "pipe": "is a pipe or a device",
        "zero": "is a pipe or a device",
        "loop": "Too many levels of symbolic links",
        "sparse": "larger than a spec",
    }.items():
        with pytest.raises(SpecError) as caught:
            read_document(tmp_path / f"{name}.yaml")
        assert caught.value.problems[0].value == value


def test_files_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00name")
    (tmp_path / "huge.yaml").write_bytes(b"#" * (MAX_TEXT_BYTES + 1))
    for path in (tmp_path, tmp_path / "missing.yaml", tmp_path / "binary.yaml", tmp_path / "huge.yaml"):
        with pytest.raises(SpecError) as caught:
            read_document(path)
        assert caught.value.problems[0].place == str(path)


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: x\n")
    assert read_document(path).data == {"name": "x"}


def test_json_by_suffix(tmp_path: Path) -> None:
    path = tmp_path / "spec.JSON"
    path.write_text('{"name": "a\\/b"}')
    assert read_document(path).data == {"name": "a/b"}
