"""Second passes by what their chunks share, on the bundled model: what is seen where two chunks meet.

    python -m benchmarks.tiny.joints --takes 8 --extends 20     # the bar; on two cores about two hours
    python -m benchmarks.tiny.joints --takes 3 --extends 5 --joints still overlap

Each take opens with a sentence that names colour, shape, direction and background, and goes on with one that
names no background, so that nothing but the picture remembers it. Every film is lossless, and has its sound.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tiny.detector import read
from benchmarks.tiny.quality import (
    EXTEND,
    NEW_FRAMES,
    NUM_FRAMES,
    OVERLAP_FRAMES,
    Films,
    Render,
    farm_films,
    spec,
)
from benchmarks.tiny.scores import Joins, joins

SIDE = 128
JUMP_BAR, DRIFT_BAR = 1.25, 2.0
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "sigmas from .909": {"sigmas": "distilled", "cfg": 1.0},
    "denoise .5": {"steps": 10, "denoise": 0.5, "cfg": 1.0},
}
SCENES = (
    ("purple", "triangle", "moves up right", "black"),
    ("yellow", "cube", "moves left", "teal"),
    ("red", "ball", "moves down right", "white"),
    ("blue", "cube", "moves up", "gray"),
    ("green", "ball", "moves down left", "navy"),
    ("purple", "ball", "moves right", "teal"),
    ("yellow", "triangle", "moves up left", "gray"),
    ("red", "cube", "moves down", "black"),
)


def chunks(scene: Sequence[str], extends: int) -> list[dict[str, Any]]:
    """The chunks of one take."""
    colour, shape, move, background = scene
    prompt = f"a {colour} {shape} {move} over a {background} background"
    extend = {**EXTEND, "prompt": f"the {colour} {shape} keeps bouncing", "repeat": extends}
    return [{"generate": {"prompt": prompt, "num_frames": NUM_FRAMES}}, {"extend": extend}]


def films(render: Render, takes: int, extends: int, upscale: Mapping[str, Any] | None) -> Films:
    """The takes at base size, or with that second pass."""
    job = spec(
        "joints",
        SIDE,
        [{"name": f"t{n}", "chunks": chunks(SCENES[n], extends)} for n in range(takes)],
    )
    return render({**job, "upscale": dict(upscale)} if upscale is not None else job)


def score(found: Films, base: Films, chained: Films, joint: str, extends: int) -> dict[str, Any]:
    """The worst of all takes, seam by seam."""
    fade = OVERLAP_FRAMES - 8 if joint == "overlap" else 0
    seams = [NUM_FRAMES - fade + NEW_FRAMES * k for k in range(extends)]
    rows: list[Joins] = [
        joins(film.picture, seams, fade, read(base[name].picture), chained[name].picture)
        for name, film in found.items()
    ]
    jumps = [jump for row in rows for jump in row.jumps]
    return {
        "worst jump / p99": f"{max(jumps):.2f}",
        "seams within the bar": f"{sum(jump <= JUMP_BAR for jump in jumps)} of {len(jumps)}",
        "drift of 255": f"{max(row.drift for row in rows):.2f}",
        "elsewhere": f"{max(row.drift_elsewhere for row in rows):.2f}",
        "present": f"{min(row.present for row in rows):.3f}",
        "dB to chained": f"{sum(row.psnr for row in rows) / len(rows):.1f}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.joints", description=__doc__)
    parser.add_argument("--takes", type=int, default=len(SCENES), choices=range(1, len(SCENES) + 1))
    parser.add_argument("--extends", type=int, default=20)
    parser.add_argument("--joints", nargs="+", default=["still", "overlap", "none"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _print_all(Path(folder), options)


def _print_all(folder: Path, options: argparse.Namespace) -> None:
    """One job, edited again and again: its first passes are sampled once."""
    render = farm_films(folder)

    def made(upscale: Mapping[str, Any] | None) -> Films:
        return films(render, options.takes, options.extends, upscale)

    base = made(None)
    for setting, values in SETTINGS.items():
        chained = made({**values, "joint": "overlap"})
        for joint in options.joints:
            found = chained if joint == "overlap" else made({**values, "joint": joint})
            said = score(found, base, chained, joint, options.extends)
            line = "  ".join(f"{key} {value}" for key, value in said.items())
            print(f"{setting}, {joint}: {line}", flush=True)


if __name__ == "__main__":
    main()
