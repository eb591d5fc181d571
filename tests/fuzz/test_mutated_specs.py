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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

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
from jobs.places import Location, place_of
from jobs.planning.facts import Probes
from jobs.planning.plan import make_plan
from jobs.spec.fields import field_at, model_at

ROOT = Path(__file__).parents[2]
CASES = 5_000
ONE_FAULT, STRUCTURE = 2_000, 2_000
"""The rest is mutated text."""
QUICK = 100
"""One case in so many runs by default."""
DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
EXAMPLES = ("batch", "continue_clip", "demo", "long_take", "multi_shot", "one_shot")

BASES: list[dict[str, Any]] = [
    {
        "name": "one",
        "engine": {"checkpoint": "owner/model"},
        "videos": [{"name": "a", "chunks": [{"generate": {"prompt": "p", "num_frames": 33, "seed": 3}}]}],
    },
    {
        "version": 1,
        "name": "harbor",
        "engine": {
            "name": "fake",
            "dtype": "float32",
            "loras": [{"path": "style.safetensors", "strength": 0.8}],
            "fake": {"sample_s": 0.1, "decode_s": 0.2},
        },
        "defaults": {
            "width": 256,
            "height": 128,
            "frame_rate": 25.0,
            "steps": 8,
            "cfg": 3.0,
            "seed": 7,
            "attention_mode": "default",
            "ffn_chunks": 2,
            "negative": "blurry",
            "max_shift": 2.05,
            "base_shift": 0.95,
            "sampler": "euler",
            "crf": 30,
            "image_strength": 0.9,
        },
        "upscale": {"steps": 4, "cfg": 2.0, "denoise": 0.5, "guided": False, "sampler": "euler"},
        "decode": {"context": 3, "seam": "lag", "tiling": {"tile_latents": 8, "overlap_latents": 2}},
        "videos": [
            {
                "name": "dawn",
                "width": 320,
                "frame_rate": 24.0,
                "chunks": [
                    {"generate": {"prompt": "a {ship}", "first_image": "a.png", "first_strength": 0.5}},
                    {
                        "extend": {
                            "prompt": "fog round the {ship}",
                            "num_new_frames": 80,
                            "overlap_frames": 16,
                            "repeat": 3,
                        }
                    },
                    {"generate": {"prompt": "noon", "shot": "noon", "sigmas": [1.0, 0.7, 0.2, 0.0]}},
                ],
                "audio": {"file": "score.wav", "mode": "mux", "sample_rate": 44100},
            },
            {
                "name": "more",
                "source": {"video": "shot.mp4", "last_frames": 57},
                "chunks": [
                    {
                        "extend": {
                            "prompt": "the boat",
                            "guider": {"name": "stg", "params": {"stg_scale": 1.5}},
                        }
                    }
                ],
            },
        ],
        "matrix": {"seed": [7, 8], "ship": ["boat", "raft"]},
        "output": {"dir": "out", "container": "mkv", "codec": "h264", "crf": 16, "preset": "fast"},
        "run": {
            "topology": "sample=2,upscale+decode=1",
            "max_attempts": 3,
            "threads": 2,
            "keep": "all",
            "deadlines": {"sample": 60.0, "factor": 4.0},
            "verify": {"black": "warn"},
        },
    },
]

WRONG_FOR_ANY: list[Any] = [{"a": {"b": 1}}, {"x": []}]
WRONG_NUMBERS: list[Any] = ["3", "many", [3], float("nan"), float("inf"), -(10**30), 10**400, *WRONG_FOR_ANY]
WRONG_TEXTS: list[Any] = [3, 2.5, True, ["a"], *WRONG_FOR_ANY]
WRONG_BOOLS: list[Any] = ["yes", 1, 0.5, [True], *WRONG_FOR_ANY]
JUNK: list[Any] = [
    None, True, 0, -1, 7, 10**400, 2.5, float("nan"), float("inf"), "", "x", "../../etc/passwd", "a\0b",
    "\u202e", "x" * 5000, [], {}, [[]], [None], {"a": {}}, {"generate": {}}, "generate", "${HOME}", "{ship}",
    "!!python/x", "y" * 300, "~no-such-user/x", "\ud800", "./" + "z" * 400, "s3://bucket/x", "a.png",
]  # fmt: skip
UNKNOWN = ["promt", "nmae", "Steps", "with", "__class__", "x" * 300, "generate ", "ключ", "0", "seed.seed"]


def all_bases() -> list[dict[str, Any]]:
    texts = ((ROOT / "examples" / f"{name}.yaml").read_text() for name in EXAMPLES)
    return [*BASES, *BASES, *(yaml.safe_load(text) for text in texts)]


def leaves(data: Any, at: Location = ()) -> Iterator[tuple[Location, Any]]:
    """Every value that is no mapping or list, with its place."""
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield from leaves(value, (*at, key))
    if not isinstance(data, dict | list):
        yield at, data


def mappings(data: Any, at: Location = ()) -> Iterator[Location]:
    """Places of all mappings whose keys are fields."""
    if isinstance(data, dict):
        if model_at(at) is not None:
            yield at
        for key, value in data.items():
            yield from mappings(value, (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from mappings(value, (*at, index))


def parent_of(spec: Any, location: Location) -> Any:
    for part in location[:-1]:
        spec = spec[part]
    return spec


def wrong_for(value: Any) -> list[Any]:
    if isinstance(value, bool):
        return WRONG_BOOLS
    return WRONG_TEXTS if isinstance(value, str) else WRONG_NUMBERS


def set_wrong_value(spec: Any, dice: random.Random) -> Location:
    """One leaf gets a value that its field can never take."""
    free = {"params", "ship"}
    places = [(at, value) for at, value in leaves(spec) if not free & set(at)]
    location, value = dice.choice(places)
    parent_of(spec, location)[location[-1]] = copy.deepcopy(dice.choice(wrong_for(value)))
    return location


def add_unknown_key(spec: Any, dice: random.Random) -> Location:
    location = (*dice.choice(list(mappings(spec))), dice.choice(UNKNOWN))
    parent_of(spec, location)[location[-1]] = copy.deepcopy(dice.choice(JUNK))
    return location


def break_a_rule(spec: Any, dice: random.Random) -> Location:
    """One field gets a value of the right type that breaks its rule."""
    wrong: dict[str, list[Any]] = {
        "width": [100, 0, -32, 31], "height": [129, 10**9], "num_frames": [32, 1, 8],
        "overlap_frames": [7, 0, 800], "num_new_frames": [3, -8], "steps": [-1, 10**6],
        "cfg": [-1.0, 1e9], "denoise": [1.5, -0.1],
        "first_strength": [1.1], "seed": [-1, 2**63], "repeat": [0, 10**6], "frame_rate": [0.0, 1e5],
        "sampler": ["Euler!", ""], "attention_mode": ["fast"], "seam": ["none"], "container": ["avi"],
        "codec": ["av1", "png", "x"], "topology": ["sample=x", "", "mono,,", "a+b=2", "mono@0"],
        "first_image": ["missing.png", ".", "a\0"], "file": ["missing.wav"], "video": ["missing.mp4"],
        "path": ["style.pt", "../style.ckpt"], "last_frames": [3, 16], "sample_rate": [1], "version": [2],
        "keep": ["none"], "preset": ["placebo"], "name": ["../up", "a/b", ".hidden", "", "x" * 99, "a\nb"],
        "prompt": [""], "context": [0, 99], "max_attempts": [0], "black": ["maybe"],
    }  # fmt: skip
    places = [at for at, _ in leaves(spec) if at[-1] in wrong and "guider" not in at]
    location = dice.choice(places)
    if location[:2] == ("engine", "name"):
        return set_wrong_value(spec, dice)
    parent_of(spec, location)[location[-1]] = dice.choice(wrong[str(location[-1])])
    return location


def drop_required(spec: Any, dice: random.Random) -> Location:
    places = [at for at, _ in leaves(spec) if is_required(at)]
    location = dice.choice(places)
    del parent_of(spec, location)[location[-1]]
    return location


def is_required(location: Location) -> bool:
    info = field_at(location)
    return isinstance(location[-1], str) and (
        location[-1] == "prompt" or (info is not None and info.is_required())
    )


FAULTS: list[Callable[[Any, random.Random], Location]] = [
    set_wrong_value, set_wrong_value, add_unknown_key, break_a_rule, break_a_rule, drop_required,
]  # fmt: skip


def nodes(data: Any, at: Location = ()) -> Iterator[Location]:
    if at:
        yield at
    children = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in children:
        yield from nodes(value, (*at, key))


def mutate_structure(spec: Any, dice: random.Random) -> None:
    """Replaces, deletes, moves, doubles or nests one node."""
    location = dice.choice(list(nodes(spec)))
    parent, key = parent_of(spec, location), location[-1]
    match dice.randrange(5):
        case 0:
            parent[key] = copy.deepcopy(dice.choice(JUNK))
        case 1:
            del parent[key]
        case 2:
            other = dice.choice(list(nodes(spec)))
            parent[key] = copy.deepcopy(parent_of(spec, other)[other[-1]])
        case 3 if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        case _:
            parent[key] = {dice.choice(UNKNOWN): parent[key]} if dice.random() < 0.5 else [parent[key]]


SNIPPETS = [
    b"&a", b"*a", b"!!binary ", b"!!python/object:os.system ", b"<<: ", b"\t", b"---\n", b"...", b"%YAML 3",
    b": ", b"- ", b"{", b"}", b"[", b"]", b"'", b'"', b"\xff\xfe", b"\x00", b"\xe2\x80\xa8", b"#", b"|", b">",
    b"? ", b"1e400", b".nan", b"0x", b"9" * 5000, b"[" * 3000, b"\r", b"&a [*a, *a]", b"true", b"~", b"=",
    b"12:30:45",
]  # fmt: skip


def mutate_text(text: bytes, dice: random.Random) -> bytes:
    at, length = dice.randrange(len(text) + 1), dice.randrange(1, 40)
    match dice.randrange(4):
        case 0:
            return text[:at] + dice.choice(SNIPPETS) + text[at:]
        case 1:
            return text[:at] + text[at + length :]
        case 2:
            return text[:at] + dice.randbytes(dice.randrange(1, 4)) + text[at + 1 :]
        case _:
            return text[:at] + text[dice.randrange(len(text) + 1) :][:length] + text[at:]


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
    assert "Traceback" not in said and "a bug in the farm" not in said, (words, said)
    problems = json.loads(out.getvalue()).get("problems", []) if code else []
    for problem in problems:
        assert problem["rule"] and problem["remedy"] and len(problem["value"]) < 400, (words, problem)
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
        result, error = known[key]
        if error is not None:
            raise error
        return result

    return ask


def load_spec_remembering() -> Callable[..., LoadedSpec]:
    """`load_spec`, to which every file is unchanged."""
    known: dict[str, Callable[..., Any]] = {}

    def load_one(*words: Any, probes: Probes) -> LoadedSpec:
        asked = {each.name: getattr(probes, each.name) for each in fields(probes)}
        for name, probe in asked.items():
            if callable(probe):
                known.setdefault(name, remembered(probe))
        return load_spec(*words, probes=replace(probes, **known))

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
        assert checked.code in (0, 2) and bool(checked.places) == (checked.code == 2), case
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
    assert seen["accepted"] + seen["refused"] == CASES and seen["one faulty field"] >= 0.3 * CASES
