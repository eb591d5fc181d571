"""5,000 mutated specs through `farm check`, `farm submit --dry-run` and the Python API.

Each is accepted by all three, or answered by all three with exit code 2, or its exception, and the same
places; nothing is written. Two fifths have exactly one faulty field, and the only place reported must be that
field. The rest is mutated without mercy, in structure or in text. The specs are those of the examples and two
that use every section. Every case derives from its number, so a failing one replays alone.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import random
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file

from actors.media.ffmpeg import find_ffmpeg
from farm.cli.main import run
from farm.options import RenderOptions
from farm.specs.load import load
from jobs.errors import InputError
from jobs.loading.load import LoadedSpec, load_spec
from jobs.places import place_of
from jobs.planning.plan import make_plan
from tests.fuzz.mutations import FAULTS, ROOT, all_bases, mutate_structure, mutate_text

if TYPE_CHECKING:
    from jobs.planning.facts import Probes

CASES = 5_000
ONE_FAULT, STRUCTURE = 2_000, 2_000
"""The rest is mutated text."""
QUICK = 100
"""One case in so many runs by default."""
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


@dataclass(frozen=True)
class Case:
    """One mutated spec: its file, the spec where there is one, and the only faulty place if it is known."""

    number: int
    path: Path
    spec: Any
    place: str | None


@dataclass(frozen=True)
class Answer:
    """Exit code, and the places that are reported, sorted: a mapping has no lines to order them by."""

    code: int
    places: tuple[str, ...]


def make_case(number: int, bases: list[dict[str, Any]], folder: Path) -> Case:
    dice = random.Random(f"case {number}")
    spec, place = copy.deepcopy(dice.choice(bases)), None
    if number >= ONE_FAULT + STRUCTURE:
        return Case(number, write_text(folder, spec, dice), None, None)
    if number < ONE_FAULT:
        place = place_of(dice.choice(FAULTS)(spec, dice))
    else:
        for _ in range(dice.randint(1, 4)):
            if spec:
                mutate_structure(spec, dice)
    return Case(number, write(folder, spec, number), spec, place)


def write(folder: Path, spec: Any, number: int) -> Path:
    """As YAML or, every third time and where YAML cannot spell it, as JSON."""
    text = json.dumps(spec)
    as_json = number % 3 == 0 or "\\ud800" in text
    path = folder / ("spec.json" if as_json else "spec.yaml")
    if not as_json:
        text = yaml.dump(spec, Dumper=DUMPER, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_text(folder: Path, spec: Any, dice: random.Random) -> Path:
    text = yaml.safe_dump(spec, sort_keys=False).encode()
    for _ in range(dice.randint(1, 3)):
        text = mutate_text(text, dice)
    path = folder / "spec.yaml"
    path.write_bytes(text)
    return path


def command(*words: str) -> Answer:
    """A command's answer; its document says what is wrong, and nothing else is printed but warnings."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([*words, "-o", "json"])
    said = out.getvalue() + err.getvalue()
    assert "Traceback" not in said, (words, said)
    assert "a bug in the farm" not in said, (words, said)
    problems = json.loads(out.getvalue()).get("problems", []) if code else []
    for problem in problems:
        assert all((problem["rule"], problem["remedy"], len(problem["value"]) < 400)), (words, problem)
    return Answer(code, tuple(sorted(problem["place"] for problem in problems)))


def from_python(spec: Any) -> Answer:
    try:
        loaded = load(spec, RenderOptions())
        make_plan(loaded.spec, loaded.facts)
    except InputError as error:
        return Answer(error.exit_code, tuple(sorted(problem.place for problem in error.problems)))
    return Answer(0, ())


def listing(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.stem != "spec"}


def remembered(probe: Callable[..., Any]) -> Callable[..., Any]:
    """The real probe, asked once for each file."""
    known: dict[str, tuple[Any, Exception | None]] = {}

    @functools.wraps(probe)
    def ask(*words: Any, **named: Any) -> Any:
        key = repr((words, named))
        if key not in known:
            try:
                known[key] = probe(*words, **named), None
            except Exception as error:
                known[key] = None, error
        result, refusal = known[key]
        if refusal is not None:
            raise refusal
        return result

    return ask


def load_spec_remembering() -> Callable[..., LoadedSpec]:
    """`load_spec`, to which every file is unchanged."""
    known: dict[str, Callable[..., Any]] = {}
    load: Callable[..., LoadedSpec] = load_spec

    def load_one(*words: Any, ahead: bool, probes: Probes) -> LoadedSpec:
        asked = {each.name: getattr(probes, each.name) for each in fields(probes)}
        for name, probe in asked.items():
            if callable(probe):
                known.setdefault(name, remembered(probe))
        changes: dict[str, Any] = dict(known)
        return load(*words, ahead=ahead, probes=replace(probes, **changes))

    return load_one


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the specs lie, with the files that they name; the working directory, too."""
    shutil.copytree(ROOT / "examples" / "assets", tmp_path / "assets")
    ffmpeg = find_ffmpeg().path
    for words in (
        ("testsrc=size=320x240:rate=25", "-frames:v", "120", "shot.mp4"),
        ("color=size=64x64", "-frames:v", "1", "a.png"),
        ("sine=duration=30", "score.wav"),
    ):
        subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", *words], cwd=tmp_path, check=True)
    save_file({"a": np.zeros(1, "f4")}, tmp_path / "style.safetensors")
    monkeypatch.setattr("farm.specs.load.load_spec", load_spec_remembering())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def try_all(folder: Path, numbers: range) -> Counter[str]:
    """Every case, three ways each."""
    bases, before, seen = all_bases(), listing(folder), Counter[str]()
    for number in numbers:
        case = make_case(number, bases, folder)
        checked = command("check", str(case.path))
        assert checked.code == (2 if checked.places else 0), case
        assert case.place is None or checked.places == (case.place,), (case, checked)
        assert command("submit", str(case.path), "--dry-run") == checked, case
        assert from_python(case.path if case.spec is None else case.spec) == checked, case
        assert listing(folder) == before, case
        seen["accepted" if checked.code == 0 else "refused"] += 1
        seen["one faulty field"] += case.place is not None
    return seen


def test_the_unmutated_specs_are_accepted(folder: Path) -> None:
    for number, base in enumerate(all_bases()):
        path = write(folder, base, number)
        accepted = Answer(0, ())
        assert command("check", str(path)) == command("submit", str(path), "--dry-run") == accepted
        assert from_python(base) == accepted


def test_some_mutated_specs_are_answered_alike_three_ways(folder: Path) -> None:
    assert try_all(folder, range(0, CASES, QUICK)).total() >= CASES // QUICK


@pytest.mark.slow
def test_every_mutated_spec_is_answered_alike_three_ways(folder: Path) -> None:
    seen = try_all(folder, range(CASES))
    print(f"{CASES} specs: {dict(seen)}")
    assert seen["accepted"] + seen["refused"] == CASES
    assert seen["one faulty field"] >= 0.3 * CASES
