"""Spec text: YAML and JSON, and what hostile files get."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from jobs.document import MAX_TEXT_BYTES, parse_json, parse_yaml, read_document
from jobs.errors import SpecError

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
        ("a: \x07", "spec"),
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
    started = time.perf_counter()
    with pytest.raises(SpecError, match="too many values"):
        parse_yaml(text)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize(
    "text",
    ["", "[]", '"x"', "{", '{"a": 1, "a": 2}', '{"a": ' + "9" * 6000 + "}", "[" * 100_000],
)
def test_hostile_json_is_an_error_with_a_place(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_json(text)
    assert all(problem.place.startswith("spec") for problem in caught.value.problems)


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
