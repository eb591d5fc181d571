"""The bundled model in several number types, on one device, through the engine that renders.

    python -m benchmarks.tiny.number_types --device cuda bfloat16 fp8

Held-out prompts with sound at 128 x 128 x 97, and takes of 20 extends, with equal seeds; the first type is
what the others' pictures are compared with.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from actors.engines.base import landed, on_host
from actors.engines.pieces import PassSound, Piece
from actors.steps.seeding import seed_everything
from benchmarks.seams import sample_film, stitch
from benchmarks.tiny.detector import read
from benchmarks.tiny.engines import LATENTS, SIDE, decode_params, held_out, open_engine, pass_params
from benchmarks.tiny.quality import (
    EXTEND,
    EXTENDS,
    FADE_FRAMES,
    GUIDER_PARAMS,
    NEW_FRAMES,
    NUM_FRAMES,
    SEAMS,
    Shown,
    spec,
)
from benchmarks.tiny.scores import Hearing, motion, prompt_scores, psnr, rate
from jobs.frames import Span
from jobs.planning.params import EncodeText
from jobs.planning.plan import make_plan
from jobs.planning.sampling import PlannedGuider
from jobs.spec.job import JobSpec
from jobs.tasks.graph import build_graph

if TYPE_CHECKING:
    from actors.engines.base import Engine
    from benchmarks.tiny.scores import Motion, Wanted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.number_types", description=__doc__)
    parser.add_argument("types", nargs="+", choices=("float32", "bfloat16", "fp8"))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--count", type=int, default=64, help="prompts")
    parser.add_argument("--takes", type=int, default=8)
    parser.add_argument("--extends", type=int, default=EXTENDS, help="of a take")
    options = parser.parse_args()
    first: list[Shown] = []
    for name in options.types:
        engine = open_engine("diffusers", options.threads, dtype=name, device=options.device)
        wanted = held_out()
        shown = [_clip(engine, item.prompt, seed) for seed, item in enumerate(wanted[: options.count])]
        scores = _clip_scores(wanted[: options.count], shown)
        first = first or shown
        pairs = zip(shown, first, strict=True)
        scores["PSNR dB"] = float(np.mean([psnr(own.picture, other.picture) for own, other in pairs]))
        _say(f"{name}, {len(shown)} prompts", scores)
        if options.takes:
            made = _take_scores(engine, wanted[: options.takes], options.extends)
            _say(f"{name}, {options.takes} takes", made)
        engine.close()


def _clip(engine: Engine, prompt: str, seed: int) -> Shown:
    """A clip with its sound, by the guidance that the model's card asks for."""
    conditioning = engine.encode_text(EncodeText(prompt, ""))
    seed_everything(seed)
    plain = pass_params(seed)
    guider = PlannedGuider("stg", tuple(sorted(GUIDER_PARAMS.items())))
    run = replace(plain, sampling=replace(plain.sampling, guider=guider))
    latents = landed(engine.denoise(run, [Piece(None)], PassSound(), conditioning))
    params = replace(decode_params(), sound=Span(0, LATENTS))
    frames = on_host(engine.decode(params, latents))
    samples, _rate = engine.decode_sound(params, latents)
    return Shown(_picture(frames), torch.from_numpy(np.array(samples)))


def _picture(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0


def _clip_scores(wanted: Sequence[Wanted], shown: Sequence[Shown]) -> dict[str, float]:
    readings = [read(each.picture) for each in shown]
    heard = sum((each.heard() for each in shown), Hearing())
    return {**prompt_scores(wanted, readings), **heard.rates()}


def _take_scores(engine: Engine, wanted: Sequence[Wanted], extends: int) -> dict[str, float]:
    """Of takes without sound, joined as the farm joins them."""
    rows = [_motion(engine, item.prompt, extends) for item in wanted]
    colours = [row.last_colour == item.colour for row, item in zip(rows, wanted, strict=True)]
    speeds = [row.last_speed / row.first_speed for row in rows]
    return {
        "last colour": rate(colours),
        "worst seam jump over p99": max(row.ratio for row in rows),
        "takes within 1.25": rate([row.ratio <= 1.25 for row in rows]),
        "slowest last/first": min(speeds),
        "fastest last/first": max(speeds),
    }


def _motion(engine: Engine, prompt: str, extends: int) -> Motion:
    later = {**EXTEND, "repeat": extends}
    chunks = [{"generate": {"num_frames": NUM_FRAMES}}, {"extend": later}]
    job = spec("take", SIDE, [{"name": "take", "chunks": chunks}], sound=False)
    job["defaults"]["prompt"] = prompt
    graph = build_graph(make_plan(JobSpec.model_validate(job)))
    film = stitch(engine, graph, sample_film(engine, graph, prompt).artifacts)
    return motion(_picture(film), SEAMS[:extends], FADE_FRAMES, NEW_FRAMES)


def _say(what: str, scores: Mapping[str, float]) -> None:
    print(f"{what}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()), flush=True)


if __name__ == "__main__":
    main()
