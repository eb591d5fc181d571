"""LoRAs of shots that change nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from jobs.spec.engine import own_loras

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.spec.engine import ShotLora


def lora_advice(plan: Plan) -> Iterator[str]:
    """One line for each that neither counts in a pass nor takes one out of the engine's; shots share it."""
    second = plan.upscale is not None and plan.upscale.sampling.denoises
    passes: tuple[Literal["sample", "upscale"], ...] = ("sample", "upscale") if second else ("sample",)
    places: dict[ShotLora, dict[str, None]] = defaultdict(dict)
    for chunk in (chunk for video in plan.films for chunk in video.chunks):
        for lora in chunk.loras:
            if not any(own_loras([lora], which, plan.engine) for which in passes):
                places[lora].setdefault(chunk.place)
    for lora, (first, *others) in places.items():
        whose = f"{first} and {len(others)} more" if others else first
        yield f"{whose}: {Path(lora.path).name} changes nothing: {_reason(lora)}"


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
