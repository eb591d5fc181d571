"""`farm resume` reads the spec that the run directory keeps as any other."""

from __future__ import annotations

import pytest

from tests.farm.cli.conftest import JOB, Farm, Rendered

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 9)}]"
    for before, name in zip("abcdefghi", "bcdefghij", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "too many values"),
        ("[" * 100_000, "nested too deeply"),
        ("name: " + "9" * 5000, "a number of 5000 characters"),
        ("", "empty"),
        ("#" * 16_000_001, "16000001 bytes, more than a spec has"),
    ],
    ids=["aliases", "depth", "digits", "empty", "size"],
)
def test_a_hostile_stored_spec_is_answered(farm: Farm, rendered: Rendered, text: str, said: str) -> None:
    (rendered.folder / "spec.yaml").write_text(text)
    (rendered.folder / "state.json").unlink()
    answer = farm("resume", JOB, "--serial", "--runs", rendered.runs)
    assert answer.code == 2, answer
    assert f"{JOB}/spec.yaml" in answer.err
    assert said in answer.err
