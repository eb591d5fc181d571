"""`farm resume` reads a stored spec as any other, and knows a copy of a run directory from its original."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from farm.state.job_state import RUNNING, STATE_FORM, JobState
from jobs.store.store import Store

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_copy_that_was_made_while_the_job_rendered_is_rendered(
    farm: Farm, rendered: Rendered, tmp_path: Path
) -> None:
    """Its lock names a process that lives, and renders the job at another place."""
    farm("retry", JOB, "--videos", "noon", "--runs", rendered.runs)
    store = Store.find(str(rendered.runs), JOB)
    with store.lock():
        store.save(STATE_FORM, JobState(JOB, outcome=RUNNING))
        shutil.copytree(rendered.runs, tmp_path / "copy")
        (row,) = farm("list", "--runs", tmp_path / "copy", "-o", "json").json
        resumed = farm("resume", JOB, "--serial", "--runs", tmp_path / "copy")
        original = farm("resume", JOB, "--serial", "--runs", rendered.runs)
    assert f"a copy of {rendered.folder}" in row["reason"]
    assert (resumed.code, "goes on" in resumed.out) == (0, False)
    (row,) = farm("list", "--runs", tmp_path / "copy", "-o", "json").json
    assert (row["outcome"], row["committed"]) == ("done", row["total"])
    assert "goes on" in original.out
