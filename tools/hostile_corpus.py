"""Inputs that farm check has to answer soon and in little memory: texts, places that are no files, and files
that a spec names."""

from __future__ import annotations

import gzip
import json
import os
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

SMALL, LARGE = 1_990_000, 19_900_000
"""Just below what a spec may have, and ten times that."""

GENERATE = {"generate": {"prompt": "p", "num_frames": 9}}


HEAD = 'name: x\nengine: {name: fake}\nvideos: [{name: a, chunks: [{generate: {prompt: "p"}}]}]\n'


def spec(**changes: Any) -> str:
    """A small job as JSON text, which is YAML too."""
    video = {"name": "a", "chunks": [GENERATE]}
    return json.dumps({"name": "x", "engine": {"name": "fake"}, "videos": [video], **changes})


def repeated(unit: str, size: int, head: str = "", tail: str = "") -> str:
    """`unit` as often as makes `size` bytes."""
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


def laughs(merge: bool) -> str:
    """A billion values in 400 bytes."""
    first, each = ("{k: 1}", "{{<<: [{}]}}") if merge else ("[x, x, x, x, x, x, x, x, x]", "[{}]")
    lines = [f"a: &a {first}"]
    for before, name in zip("abcdefghi", "bcdefghij", strict=True):
        lines.append(f"{name}: &{name} " + each.format(", ".join([f"*{before}"] * 9)))
    return "\n".join(lines)


def many(line: str, count: int) -> str:
    """`count` lines, each with its number."""
    return "".join(line.replace("#", str(number)) for number in range(count))


def videos(count: int, **changes: Any) -> str:
    """A job of so many videos."""
    return spec(videos=[{"name": f"v{n}", "chunks": [GENERATE], **changes} for n in range(count)])


def words(key: str, count: int) -> str:
    """A prompt that names a word as often as fits."""
    return ("{" + key + "}") * count


TEXTS: Mapping[str, Callable[[], str | bytes]] = {
    "billion laughs.yaml": lambda: laughs(merge=False),
    "billion laughs by merge keys.yaml": lambda: laughs(merge=True),
    "an alias of itself.yaml": lambda: "a: &a [*a, *a]",
    "20 MB of flow lists.yaml": lambda: "[" * LARGE,
    "2 MB of flow lists.yaml": lambda: "[" * SMALL,
    "2 MB of flow mappings.yaml": lambda: repeated("{a: ", SMALL),
    "2 MB of block lists, nested.yaml": lambda: repeated("- ", SMALL),
    "2 MB of block mappings, nested.yaml": lambda: "".join(" " * depth + "a:\n" for depth in range(1990)),
    "2 MB of complex keys.yaml": lambda: repeated("? ", SMALL),
    "2 MB of values in a flow list.yaml": lambda: repeated("1,", SMALL, "a: [", "]"),
    "2 MB of values in a block list.yaml": lambda: repeated("- 1\n", SMALL),
    "2 MB of empty lists.yaml": lambda: repeated("[],", SMALL, "a: [", "]"),
    "2 MB of anchors.yaml": lambda: many("k#: &a# 1\n", 110_000),
    "2 MB of aliases.yaml": lambda: repeated("*a,", SMALL, "b: &a 1\na: [", "]"),
    "2 MB of unknown keys.yaml": lambda: HEAD + many("key#: 1\n", 140_000),
    "70,000 unknown keys.yaml": lambda: HEAD + many("prompt#: 1\n", 70_000),
    "2 MB of one key, twice and more.yaml": lambda: repeated("a: 1\n", SMALL),
    "2 MB of merge keys.yaml": lambda: repeated("<<: {a: 1}\n", SMALL),
    "2 MB of tag directives.yaml": lambda: many("%TAG !a#! b\n", 110_000) + "---\na: 1\n",
    "2 MB of documents.yaml": lambda: repeated("---\n", SMALL),
    "2 MB of tags.yaml": lambda: repeated("!!a ", SMALL, "a: "),
    "2 MB of comments.yaml": lambda: repeated("#\n", SMALL, HEAD),
    "2 MB of empty lines.yaml": lambda: "\n" * SMALL,
    "2 MB of spaces.yaml": lambda: " " * SMALL,
    "2 MB of tabs.yaml": lambda: "\t" * SMALL,
    "2 MB of colons.yaml": lambda: repeated("a:", SMALL),
    "a key of 2 MB.yaml": lambda: "? " + "k" * SMALL + "\n: 1\n",
    "a text of 2 MB.yaml": lambda: HEAD + "defaults: {prompt: " + "x" * (SMALL - 200) + "}\n",
    "a text of 2 MB of escapes.yaml": lambda: repeated("\\n", SMALL, HEAD + 'defaults: {prompt: "', '"}\n'),
    "an open quote.yaml": lambda: 'a: "' + "x\n" * (SMALL // 2),
    "a comment of 20 MB.yaml": lambda: HEAD + "#" * LARGE,
    "a sexagesimal number of 2 MB.yaml": lambda: repeated(":59", SMALL, HEAD + "defaults: {seed: 59", "}\n"),
    "a number of 2 MB.yaml": lambda: HEAD + "defaults: {seed: " + "9" * (SMALL - 200) + "}\n",
    "a hexadecimal number of 2 MB.yaml": lambda: HEAD + "defaults: {seed: 0x" + "f" * (SMALL - 200) + "}\n",
    "a fraction of 2 MB.yaml": lambda: HEAD + "defaults: {cfg: 1." + "1" * (SMALL - 200) + "}\n",
    "numbers that are none.yaml": lambda: HEAD + "defaults: {cfg: .nan, max_shift: 1e999}\n",
    "20 MB of lists.json": lambda: "[" * LARGE,
    "2 MB of lists.json": lambda: "[" * SMALL,
    "2 MB of objects.json": lambda: repeated('{"a":', SMALL),
    "9 MB of empty lists.json": lambda: repeated("[],", 9_000_000, '{"a": [', "[]]}"),
    "2 MB of empty lists.json": lambda: repeated("[],", SMALL, '{"a": [', "[]]}"),
    "2 MB of numbers.json": lambda: repeated("1,", SMALL, '{"a": [', "1]}"),
    "2 MB of unknown keys.json": lambda: "{" + many('"k#": 1,', 140_000) + '"name": "x"}',
    "a number of 5,000 digits.json": lambda: '{"name": ' + "9" * 5000 + "}",
    "a number of 2 MB.json": lambda: '{"name": ' + "9" * SMALL + "}",
    "an exponent of 5,000 digits.json": lambda: '{"name": 1e' + "9" * 5000 + "}",
    "a key of 2 MB.json": lambda: '{"' + "k" * SMALL + '": 1}',
    "a text of 2 MB of escapes.json": lambda: repeated("\\u0041", SMALL, '{"name": "', '"}'),
    "half a surrogate pair.json": lambda: '{"name": "\\ud800"}',
    "a key twice.json": lambda: '{"name": "x", "name": "y"}',
    "not a number.json": lambda: spec(defaults={"cfg": float("nan")}),
    "UTF-8 with a byte order mark.yaml": lambda: b"\xef\xbb\xbf" + HEAD.encode(),
    "UTF-16.yaml": lambda: HEAD.encode("utf-16"),
    "UTF-16 without a mark.yaml": lambda: HEAD.encode("utf-16-be"),
    "UTF-32.yaml": lambda: HEAD.encode("utf-32"),
    "invalid UTF-8.yaml": lambda: HEAD.encode() + b"a: \xc0\xaf\xed\xa0\x80\n",
    "NUL bytes.yaml": lambda: b"\0" * SMALL,
    "random bytes.yaml": lambda: os.urandom(SMALL),
    "a gzip bomb.yaml": lambda: gzip.compress(b"a" * (1 << 26), 1) * 16,
    "an empty file.yaml": lambda: b"",
    "100,000 videos.yaml": lambda: "name: x\nvideos:\n" + many("- v#\n", 100_000),
    "14,000 videos.json": lambda: videos(14_000),
    "10,000 videos, all well.json": lambda: videos(10_000),
    "10,000 videos, none well.json": lambda: videos(10_000, width=33),
    "10,000 videos without a chunk.json": lambda: videos(10_000, chunks=[]),
    "10,000 videos of one name.json": lambda: spec(videos=[{"name": "v", "chunks": [GENERATE]}] * 10_000),
    "a matrix of 10,000 films.json": lambda: spec(matrix={"seed": [*range(100)], "steps": [*range(1, 101)]}),
    "a matrix of 10^64 films.json": lambda: spec(
        matrix={f"key{n}": [*range(9_000)] for n in range(16)}, defaults={"prompt": words("key1", 1)}
    ),
    "a matrix of mappings.json": lambda: spec(matrix={"seed": [{"a": [1]}] * 10_000}),
    "100,000 chunks by repeat.json": lambda: spec(
        videos=[
            {"name": f"v{n}", "chunks": [GENERATE, {"extend": {"prompt": "p", "repeat": 49_999}}]}
            for n in range(2)
        ]
    ),
    "a repeat of 10^9.json": lambda: spec(
        videos=[{"name": "v", "chunks": [GENERATE, {"extend": {"prompt": "p", "repeat": 10**9}}]}]
    ),
    "10,000 repeats of 100,000.json": lambda: spec(
        videos=[{"name": "v", "chunks": [{"extend": {"prompt": "p", "repeat": 100_000}}] * 10_000}]
    ),
    "28,000 chunks.json": lambda: spec(videos=[{"name": "v", "chunks": [GENERATE] * 28_000}]),
    "words that multiply a prompt.json": lambda: spec(
        defaults={"prompt": words("a", 6_600)}, matrix={"a": ["x" * 2_000, "y"]}
    ),
    "words that multiply words.json": lambda: spec(
        defaults={"prompt": words("a", 600)},
        matrix={"a": [words("b", 600)], "b": [words("c", 600)], "c": ["x" * 2_000]},
    ),
    "140,000 noise levels.json": lambda: spec(defaults={"sigmas": [*range(140_000, 0, -1)]}),
    "20,000 LoRAs.json": lambda: spec(engine={"name": "fake", "loras": [{"path": "a.safetensors"}] * 20_000}),
    "a path of 1 MB.json": lambda: spec(output={"dir": "a/" * 500_000}),
    "a topology of 1 MB.json": lambda: spec(run={"topology": "sample=1," * 110_000}),
    "devices as inputs.json": lambda: spec(
        videos=[
            {
                "name": "v",
                "source": {"latent": "/dev/zero"},
                "sound": [{"file": "/dev/random"}],
                "chunks": [{"extend": {"prompt": "p", "last_image": "/proc/self/mem"}}],
            }
        ]
    ),
}  # fmt: skip


def pipe(path: Path) -> None:
    """A pipe that nobody writes to."""
    os.mkfifo(path)


def listening(path: Path) -> None:
    """A socket's file."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def holes(size: int) -> Callable[[Path], None]:
    """A file of zeros that takes no room."""

    def make(path: Path) -> None:
        with path.open("wb") as file:
            file.truncate(size)

    return make


def program(path: Path) -> None:
    """The first of a program's bytes."""
    path.write_bytes(Path(sys.executable).read_bytes()[:LARGE])


def link(target: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


PLACES: Mapping[str, Callable[[Path], None]] = {
    "a pipe.yaml": pipe,
    "a socket.yaml": listening,
    "a folder.yaml": Path.mkdir,
    "a link to dev zero.yaml": link("/dev/zero"),
    "a link to dev tty.yaml": link("/dev/tty"),
    "a link to kernel messages.yaml": link("/proc/kmsg"),
    "a link to its own memory.yaml": link("/proc/self/mem"),
    "a link to itself.yaml": link("a link to itself.yaml"),
    "a link to nothing.yaml": link("nowhere"),
    "20 MB of holes.yaml": holes(LARGE),
    "1 TB of holes.yaml": holes(1 << 40),
    "no file.yaml": lambda _: None,
    "a program.yaml": program,
}


HEADER = (8 << 20) - 100
"""Just below what the header of a model file may have."""


def header(text: str) -> bytes:
    """A safetensors file of one byte of data."""
    return struct.pack("<Q", len(text)) + text.encode() + b"x"


def shaped(shape: str) -> bytes:
    return header('{"a":{"dtype":"U8","shape":[' + shape + '],"data_offsets":[0,1]}}')


def tensors(count: int) -> bytes:
    each = '"#":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'
    return header("{" + many(each, count) + '"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}')


def palette(side: int) -> bytes:
    """A square PNG of a transparent palette: a few kilobytes, and four bytes a pixel in memory."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    size = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 3, 0, 0, 0))
    colors = chunk(b"PLTE", bytes(768)) + chunk(b"tRNS", bytes(256))
    return b"\x89PNG\r\n\x1a\n" + size + colors + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


NAMED: Mapping[str, Callable[[], bytes]] = {
    "a model header of 8 MB of lists.safetensors": lambda: header(repeated("[],", HEADER, '{"a":[', "[]]}")),
    "a model of 130,000 tensors.safetensors": lambda: tensors(130_000),
    "a shape of 1,900 numbers of 4,200 digits.safetensors": lambda: shaped(",".join(["9" * 4200] * 1900)),
    "a shape of 4,000,000 numbers.safetensors": lambda: shaped("1," * 4_000_000 + "1"),
    "a picture of 36 million pixels.png": lambda: palette(5990),
}
"""Files that a spec names, by name."""


def naming(path: Path) -> str:
    """A spec that names the file."""
    if path.suffix == ".png":
        chunk = {"generate": {**GENERATE["generate"], "first_image": str(path)}}
        return spec(videos=[{"name": "a", "chunks": [chunk]}])
    return spec(engine={"name": "comfyui", "checkpoint": str(path)})


def corpus() -> list[str]:
    """Every name."""
    return [*TEXTS, *PLACES, *NAMED]


def write(name: str, folder: Path) -> Path:
    """Makes one input."""
    path = folder / name
    if name in NAMED:
        path.write_bytes(NAMED[name]())
        written = path.with_suffix(".json")
        written.write_text(naming(path))
        return written
    if name in PLACES:
        PLACES[name](path)
        return path
    made = TEXTS[name]()
    path.write_bytes(made.encode("utf-8", "surrogatepass") if isinstance(made, str) else made)
    return path
