"""JSON text: values, lines, and what hostile files get."""

from __future__ import annotations

import pytest

from jobs.errors import SpecError
from jobs.parsing.document import parse_json


@pytest.mark.parametrize(
    ("text", "place", "line"),
    [
        ("", "spec:1:1", None),
        ("[]", "spec", None),
        ('"x"', "spec", None),
        ("{", "spec:1:2", None),
        ('{"a": 1,\n "a": 2}', "a", 2),
        ('{"a":\n{"b": ' + "9" * 6000 + "}}", "a.b", 2),
        ('{"a": 1' + "9" * 4299 + "}", "a", 1),
        ('{"a": 01}', "spec:1:8", None),
        ('{"a": 1,}', "spec:1:9", None),
        ("{'a': 1}", "spec:1:2", None),
        ('{"a" 1}', "spec:1:6", None),
        ('{"a": [1 2]}', "spec:1:10", None),
        ('{"a": "x\ny"}', "spec:1:9", None),
        ('{"a": "\\q"}', "spec:1:8", None),
        ('{"a": "\\ud800"}', "a", 1),
        ('{"' + "k" * 1000 + '": 1}', "k" * 80, 1),
        ('{"a": 1} x', "spec:1:10", None),
        ("[" * 100_000, "spec", 1),
        ('{"a": ' * 100_000, "spec", 1),
    ],
    ids=lambda value: str(value)[:20],
)
def test_hostile_json_is_an_error_with_a_place(text: str, place: str, line: int | None) -> None:
    with pytest.raises(SpecError) as caught:
        parse_json(text)
    (problem,) = caught.value.problems
    assert (problem.place, problem.line) == (place, line)
    assert problem.rule
    assert problem.remedy


def test_json_values_and_their_lines() -> None:
    text = '{"a": [1, -2.5, 1e3, true, false, null, "x\\ud83d\\ude00"],\n "b": {}, "c": []}'
    document = parse_json(text)
    assert document.data == {"a": [1, -2.5, 1000.0, True, False, None, "x😀"], "b": {}, "c": []}
    assert (document.lines[("a", 1)], document.lines[("b",)]) == (1, 2)
    assert document.written[("a", 2)] == "1e3"
