"""One film on 1 to 64 GPUs, simulated: chained, its second pass by stills, and between held images.

Stage times are fitted to what one H200 takes for LTX-2 (19.6B, distilled): a n + b n^2 seconds for a step
over n tokens, 8 steps at 960x544 and 3 at 1920x1088, clips of 20 seconds at 24 frames a second. Behind
temporal rounds a chunk is decoded in windows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import log2
from pathlib import Path

from benchmarks.page import table
from farm.scheduler.graph import ScheduleGraph
from farm.simulator.simulate import SimulationConfig, simulate
from farm.simulator.workload import SimulatedFilm, StageTimes, job
from farm.topology.bound import job_facts
from farm.topology.segment_workers import topology_for
from jobs.planning.rounds.layout import Tile, canvas_seams, rounds_of, seams, tiles
from jobs.tasks.task import Stage
from jobs.tasks.topology import Machine

FIGURE = Path(__file__).parents[2] / "docs" / "scaling.svg"
SECONDS, CHUNK_FRAMES, LATENTS = 600, 481, 61
SMALL, LARGE = 30 * 17, 60 * 34
"""Tokens of a latent in each pass."""
_LINEAR_S, _SQUARE_S, _ALL = 5.8e-5, 1.0e-9, 1.1
FIRST_STEPS, SECOND_STEPS = 8, 3
DECODE_S_PER_97 = 1.86
GPUS = (1, 2, 4, 8, 16, 32, 64)
OVERHEADS = SimulationConfig(handoff_s=0.002, commit_s={Stage.DECODE: 0.5}, report_s=0.002)


def step_s(tokens: int) -> float:
    """Seconds of one step."""
    return _ALL * (_LINEAR_S * tokens + _SQUARE_S * tokens**2)


TIMES = StageTimes(
    sample_s=FIRST_STEPS * step_s(LATENTS * SMALL),
    upscale_s=SECOND_STEPS * step_s(LATENTS * LARGE),
    decode_s=CHUNK_FRAMES / 97 * DECODE_S_PER_97,
)
CHUNKS = SECONDS // 20
TEMPORAL, ROUND_STEPS = 4, 4


def tile_s(tile: Tile) -> float:
    """Seconds of a tile: of its latents, and of the stills that it holds and makes beside them."""
    return ROUND_STEPS * step_s((len(tile.span) + len(tile.anchors) + len(tile.slots)) * LARGE)


STILLS = len(seams(LATENTS))
ROUNDS = tuple(
    tuple(tile_s(tile) for tile in tiles(canvas_seams(LATENTS, number), 2**number, starts_at_seam=True))
    for number in rounds_of(TEMPORAL)
)
WITH_STILLS = StageTimes(
    sample_s=FIRST_STEPS * step_s((LATENTS + STILLS) * SMALL),
    upscale_s=SECOND_STEPS * step_s((LATENTS + STILLS) * LARGE + LATENTS * SMALL),
    decode_s=TEMPORAL * TIMES.decode_s,
)
"""Both passes make stills, and the second looks at the first."""
FAST: Mapping[str, SimulatedFilm] = {
    "second pass by stills": SimulatedFilm(
        "film", CHUNKS, WITH_STILLS, joint="still", rounds=ROUNDS, windows=TEMPORAL
    ),
    "held images, second pass by stills": SimulatedFilm(
        "film", CHUNKS, WITH_STILLS, chained=False, rounds=ROUNDS, windows=TEMPORAL
    ),
}
"""With temporal rounds, at four times the frame rate."""
WAYS: Mapping[str, SimulatedFilm] = {
    "both passes chained": SimulatedFilm("film", CHUNKS, TIMES, joint="overlap"),
    "second pass by stills": SimulatedFilm("film", CHUNKS, TIMES, joint="still"),
    "held images, second pass by stills": SimulatedFilm("film", CHUNKS, TIMES, chained=False),
}


def minutes(film: SimulatedFilm) -> list[float]:
    """Makespans on `GPUS`."""
    tasks = list(job([film]))
    graph, facts = ScheduleGraph(tasks), job_facts(tasks)
    topologies = (topology_for(f"mono={gpus}", Machine(gpus), facts) for gpus in GPUS)
    return [simulate(graph, topology, OVERHEADS).makespan_s / 60 for topology in topologies]


def section() -> str:
    """The figure, the table, and what they say; the figure is written."""
    found = {way: minutes(film) for way, film in WAYS.items()}
    FIGURE.write_text(drawn(found))
    head = ("minutes for ten minutes of film", *(f"{gpus}" for gpus in GPUS), "times faster")
    fast = {f"two temporal rounds, {way}": minutes(film) for way, film in FAST.items()}
    rows = (
        [way, *(f"{each:.1f}" for each in some), f"{some[0] / some[-1]:.1f}"]
        for way, some in (*found.items(), *fast.items())
    )
    return (
        f"## One film of ten minutes\n\n![minutes by GPUs]({FIGURE.name})\n\n"
        f"LTX-2 in two stages, {CHUNKS} chunks of 20 s: first pass {TIMES.sample_s:.1f} s, second "
        f"{TIMES.upscale_s:.1f} s, decode {TIMES.decode_s:.1f} s of one H200, fitted to its steps. Hollow "
        "points are simulated; none of them was measured.\n\n"
        f"{table(head, rows)}\n"
        "Chained in both passes, the second one's chain takes the time. By stills "
        "(`upscale: {joint: still}`) only the first pass is a chain; between held images no pass is one, and "
        "the chunks themselves are what cannot be divided.\n\n"
        f"With temporal rounds (`temporal: {TEMPORAL}`) the film has {TEMPORAL} times as many frames, and "
        f"a chunk's rounds are {', then '.join(str(len(each)) for each in ROUNDS)} tiles, of "
        f"{_range(ROUNDS)} s each, that wait for none of another chunk. Its frames are decoded in {TEMPORAL} "
        f"windows of {WITH_STILLS.decode_s / TEMPORAL:.1f} s each; with one decode for each chunk the last "
        f"two rows would end with {' and '.join(f'{each:.1f}' for each in _undivided())}.\n"
    )


def _undivided() -> list[float]:
    """Minutes on the most GPUs where a chunk is decoded at once."""
    return [minutes(replace(film, windows=1))[-1] for film in FAST.values()]


def _range(rounds: Sequence[Sequence[float]]) -> str:
    each = [seconds for tiles_s in rounds for seconds in tiles_s]
    return f"{min(each):.0f} to {max(each):.0f}"


_COLOURS = ("#888888", "#1f77b4", "#d62728")
_LEFT, _TOP, _WIDE, _HIGH, _PADDED = 60, 20, 520, 280, 700


def drawn(found: Mapping[str, list[float]]) -> str:
    """Minutes over GPUs, both in powers of two, as SVG."""
    highest = log2(max(max(some) for some in found.values()))

    def place(at: int, value: float) -> tuple[float, float]:
        return _LEFT + _WIDE * at / (len(GPUS) - 1), _TOP + _HIGH * (1 - log2(value) / highest)

    def marks() -> Iterator[str]:
        for at, gpus in enumerate(GPUS):
            x, below = place(at, 1)[0], _TOP + _HIGH + 22
            yield f'<text x="{x:.0f}" y="{below}" text-anchor="middle">{gpus}</text>'
        for power in range(int(highest) + 1):
            y = place(0, 2**power)[1]
            yield f'<line x1="{_LEFT}" x2="{_LEFT + _WIDE}" y1="{y:.0f}" y2="{y:.0f}" stroke="#dddddd"/>'
            yield f'<text x="{_LEFT - 8}" y="{y + 4:.0f}" text-anchor="end">{2**power}</text>'
        for number, (way, some) in enumerate(found.items()):
            points = [place(at, value) for at, value in enumerate(some)]
            line, colour = " ".join(f"{x:.0f},{y:.0f}" for x, y in points), _COLOURS[number]
            yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
            for x, y in points:
                shape = f'cx="{x:.0f}" cy="{y:.0f}" r="4" fill="white"'
                yield f'<circle {shape} stroke="{colour}" stroke-width="2"/>'
            yield f'<text x="{_LEFT + 12}" y="{_TOP + _HIGH - 56 + 20 * number}" fill="{colour}">{way}</text>'

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_PADDED - 90} {_TOP + _HIGH + 50}" '
        'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>\n'
        + "\n".join(marks())
        + f'\n<text x="{_LEFT + _WIDE / 2:.0f}" y="{_TOP + _HIGH + 42}" text-anchor="middle">'
        "GPUs; minutes for a film of ten, simulated</text>\n</svg>\n"
    )
