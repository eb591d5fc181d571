"""LoRAs of shots that change nothing, and one that temporal rounds were published with."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.spec.engine import own_loras

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.spec.engine import ShotLora, Which


def lora_advice(plan: Plan) -> Iterator[str]:
    """One line for each that neither counts in a pass nor takes one out of the engine's; shots share it."""
    second = plan.upscale is not None and plan.upscale.sampling.denoises
    rounds: tuple[Which, ...] = ("rounds",) if plan.upscale is not None and plan.upscale.temporal > 1 else ()
    passes: tuple[Which, ...] = ("sample", "upscale", *rounds) if second else ("sample",)
    places: dict[ShotLora, dict[str, None]] = defaultdict(dict)
    for chunk in (chunk for video in plan.films for chunk in video.chunks):
        for lora in chunk.loras:
            if not any(own_loras([lora], which, plan.engine) for which in passes):
                places[lora].setdefault(chunk.place)
    for lora, (first, *others) in places.items():
        whose = f"{first} and {len(others)} more" if others else first
        yield f"{whose}: {Path(lora.path).name} changes nothing: {_reason(lora)}"


def detail_advice(plan: Plan) -> Iterator[str]:
    """Lightricks' DFR pipeline has an IC-LoRA in the second pass, at 0.5, and refuses to run without it
    (`ltx_pipelines/dfr_pipeline.py`). One that counts there has 0 in the rounds: a rule says so. The bundled
    model has none."""
    engine = plan.engine
    bundled = engine.checkpoint is None and engine.diffusion_model is None
    if plan.temporal == 1 or engine.name == "fake" or bundled:
        return
    shots = (lora for video in plan.films for chunk in video.chunks for lora in chunk.loras)
    weights = (lora.strengths for lora in (*engine.loras, *shots))
    if not any(each.upscale and not each.of("rounds") for each in weights):
        yield (
            "upscale.temporal: the second pass looks at the first, for which LTX-2.5 has an IC-LoRA. None "
            "counts there: name Lightricks' (LTX-2.5-22b-IC-LoRA-Pixel-Spatial-Upscaler) in `engine.loras`, "
            "with `strength: {upscale: 0.5, rounds: 0}`"
        )


def _reason(lora: ShotLora) -> str:
    """Why, and what to do."""
    if lora.strengths.upscale:
        return (
            "it counts in the second pass alone, and nothing is denoised in one here. Add `upscale`, give it "
            "a strength in `sample`, or leave it out"
        )
    return (
        "its strength is 0, and `engine.loras` has none with this path to switch off. Write the path that "
        "stands there, or leave it out"
    )
