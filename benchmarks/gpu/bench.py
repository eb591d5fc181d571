"""What every item is given: the size, the device, a place for files, and where its numbers go."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.gpu.watch import card

Row = Mapping[str, Any]
SHARED_MEMORY = Path("/dev/shm")
PREFACE = (
    "# On a GPU",
    "",
    "What the farm does on one card at the sizes of real models: LTX-Video 2B and 13B, LTX-2.x with sound.",
    "Weights are random. Where no text encoder is named, T5-XXL and Gemma 12B come on top of all memory.",
    "Films are 768x512: a Generate of 97 frames and Extends of 80, overlap 16, upscaled to 1536x1024 with",
    "refinement where nothing else is said.",
    "Made by `python -m benchmarks.gpu --out DIR`.",
    "",
)


@dataclass(frozen=True, slots=True)
class Clip:
    """Sizes of one film: pixels, frames, steps. `refine` is the number of steps after the 2x upscale."""

    width: int
    height: int
    frames: int
    new_frames: int
    overlap_frames: int
    steps: int
    refine: int

    @property
    def latents(self) -> int:
        return (self.frames - 1) // 8 + 1

    def tokens(self, scale: int) -> int:
        """Tokens of the generated clip at `scale` times the width and height."""
        return self.latents * (self.height * scale // 32) * (self.width * scale // 32)


REAL = Clip(768, 512, 97, 80, 16, steps=8, refine=3)
REHEARSAL = Clip(64, 64, 17, 8, 8, steps=1, refine=1)


@dataclass(frozen=True)
class Bench:
    """One item's surroundings. `size` is `real` or `rehearsal`, `device` `cuda` or `cpu`; `repeats` are the
    runs of what is told as a median; `end_s`, on the monotonic clock, is when the item will be stopped. The
    item `peers` takes those whose names begin as `peers` says, all where it says nothing."""

    item: str
    out: Path
    size: str
    device: str
    scratch: Path
    comfyui: str
    repeats: int = 3
    end_s: float = math.inf
    peers: tuple[str, ...] = ()

    @property
    def left_s(self) -> float:
        """Seconds that are left to the item."""
        return self.end_s - time.monotonic()

    @property
    def real(self) -> bool:
        return self.size == "real"

    @property
    def clip(self) -> Clip:
        return REAL if self.real else REHEARSAL

    def count(self, real: int, rehearsal: int) -> int:
        """A number of chunks or repetitions."""
        return real if self.real else rehearsal

    def folder(self, name: str) -> Path:
        """A fresh folder of this item."""
        folder = self.scratch / self.item / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def table(self, title: str, rows: Sequence[Row]) -> None:
        """Keep a table, at once: a killed run leaves what it had."""
        where = {"item": self.item, "card": card(self.device), "size": self.size}
        record = {**where, "title": title, "rows": list(rows)}
        with results_file(self.out).open("a") as file:
            file.write(json.dumps(record) + "\n")
        write_page(self.out)
        print("\n".join(markdown(title, rows)), flush=True)


def results_file(out: Path) -> Path:
    return out / "results.jsonl"


def write_page(out: Path) -> None:
    """All tables so far as one Markdown page; a table measured again replaces the earlier one."""
    records = [json.loads(line) for line in results_file(out).read_text().splitlines()]
    tables: dict[tuple[str, str], list[Row]] = {(one["item"], one["title"]): one["rows"] for one in records}
    cards = ", ".join(sorted({f"{one['card']} ({one['size']} sizes)" for one in records}))
    lines = [*PREFACE, f"Measured on: {cards}.", ""]
    for (_, title), rows in tables.items():
        lines += [*markdown(title, rows), ""]
    (out / "gpu.md").write_text("\n".join(lines))


def markdown(title: str, rows: Sequence[Row]) -> list[str]:
    """A heading and a table whose columns are the keys of all rows, in the order of their first use."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = [f"## {title}", "", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    return lines + [
        "| " + " | ".join(_cell(row.get(column, "")) for column in columns) + " |" for row in rows
    ]


def _cell(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, float):
        return str(value).replace("|", "/").replace("\n", " ")
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"


def roomy(need_bytes: int) -> Path:
    """Shared memory where it holds `need_bytes` with room to spare, else the folder for temporary files."""
    for place in (SHARED_MEMORY, Path(tempfile.gettempdir())):
        if place.is_dir() and shutil.disk_usage(place).free > 1.2 * need_bytes:
            return place
    return Path(tempfile.gettempdir())
