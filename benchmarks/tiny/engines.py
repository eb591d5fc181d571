"""Text adherence of the bundled model, engine against engine, through the same protocol.

    python -m benchmarks.tiny.engines diffusers comfyui

The held-out prompts are sampled at 128 x 128 x 97 with equal seeds and settings and read by the detector.
COMFYUI_PATH names the ComfyUI of the second engine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from actors.engines.base import landed, on_host
from actors.engines.make import make_engine
from actors.engines.pieces import PassSound, Piece
from actors.steps.seeding import seed_everything
from benchmarks.tiny.detector import Reading, read
from benchmarks.tiny.scores import Wanted, prompt_scores
from jobs.frames import ChunkSpan, DecodeWindow, Span, frames_of
from jobs.planning.params import DecodeParams, EncodeText, PassParams
from jobs.planning.sampling import PlannedGuider, Sampling
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    import numpy as np

    from actors.engines.base import Engine

HELD_OUT = Path(__file__).with_name("held_out.json")
SIDE, LATENTS, STEPS = 128, 13, 16
STAGES = frozenset({Stage.ENCODE, Stage.SAMPLE, Stage.DECODE})


def held_out() -> list[Wanted]:
    """The prompts whose combinations training never saw."""
    rows = json.loads(HELD_OUT.read_text())["prompts"]
    return [Wanted(**{name: row[name] for name in Wanted.__dataclass_fields__}) for row in rows]


def open_engine(
    name: str, threads: int, checkpoint: Path | None = None, dtype: str = "auto", device: str = "cpu"
) -> Engine:
    """The bundled model, or another, in one engine."""
    named = {"checkpoint": str(checkpoint)} if checkpoint else {}
    config = EngineConfig.model_validate({"name": name, "dtype": dtype, **named})
    engine = make_engine(config, device, threads)
    engine.setup(STAGES)
    return engine


def pass_params(seed: int) -> PassParams:
    """One clip from text alone, with its sound."""
    return PassParams(
        width=SIDE,
        height=SIDE,
        span=ChunkSpan(0, LATENTS, LATENTS),
        frame_rate=25.0,
        seed=seed,
        sampling=Sampling(STEPS, 3.0, "euler", None, PlannedGuider(), 2.05, 0.95),
        guides=(),
        overlap_strength=1.0,
        attention_mode="default",
        ffn_chunks=0,
        audio_mode="generate",
    )


def decode_params() -> DecodeParams:
    """The whole clip at once."""
    whole = Span(0, LATENTS)
    window = DecodeWindow(whole, whole, Span(0, frames_of(LATENTS)))
    return DecodeParams(SIDE, SIDE, (whole,), window, 0, 25.0)


def clip(engine: Engine, prompt: str, seed: int) -> np.ndarray:
    """uint8 `[97, 128, 128, 3]`."""
    conditioning = engine.encode_text(EncodeText(prompt, ""))
    seed_everything(seed)
    latents = engine.denoise(pass_params(seed), [Piece(None)], PassSound(), conditioning)
    return on_host(engine.decode(decode_params(), landed(latents)))


def reading(frames: np.ndarray) -> Reading:
    """What the detector sees in uint8 frames."""
    return read(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255.0)


def adherence(engine: Engine, wanted: Sequence[Wanted]) -> dict[str, float]:
    """Shares of clips that show what their prompts say; prompt i has seed i."""
    readings = [reading(clip(engine, item.prompt, seed)) for seed, item in enumerate(wanted)]
    return prompt_scores(wanted, readings)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.engines", description=__doc__)
    parser.add_argument("engines", nargs="+", choices=("diffusers", "comfyui"))
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    for name in options.engines:
        scores = adherence(open_engine(name, options.threads), held_out()[: options.count])
        print(f"{name}: " + "  ".join(f"{key} {value:.3f}" for key, value in scores.items()), flush=True)


if __name__ == "__main__":
    main()
