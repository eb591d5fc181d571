"""Specs to start from, and the ways in which they are mutated."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from jobs.spec.fields import field_at, model_at

if TYPE_CHECKING:
    from jobs.places import Location

ROOT = Path(__file__).parents[2]
EXAMPLES = ("batch", "continue_clip", "demo", "film", "long_take", "multi_shot", "one_shot", "retake")


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
        "upscale": {"steps": 4, "cfg": 2.0, "denoise": 0.5, "joint": "none", "sampler": "euler"},
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
                "sound": [
                    {"file": "score.wav", "mode": "mux", "at": 0.5, "duck": {"by_db": 6.0}},
                    {"generate": True, "gain_db": -3.0, "pan": 0.5, "fade_in": 0.1},
                ],
                "mix": {"sample_rate": 44100},
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
    wrong = wrong_for(value)
    if model_at(location) is not None:
        # What is wrong with a mapping where a mapping may stand is said of its keys.
        wrong = [other for other in wrong if not isinstance(other, dict)]
    parent_of(spec, location)[location[-1]] = copy.deepcopy(dice.choice(wrong))
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
        "path": ["style.pt", "../style.ckpt"], "last_frames": [3, 16], "sample_rate": [1], "version": [4],
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
    parent: Any = parent_of(spec, location)
    key: Any = location[-1]
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
