"""What temporal rounds need of the model files: an LTX-2 that marks stills, and an upsampler in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.rules.engines import placed_loras
from jobs.rules.findings import BrokenRule
from jobs.rules.rounds.needs import HERE, WITHOUT
from jobs.weights.header import read_weights
from jobs.weights.use import (
    TEMPORAL_UPSAMPLER,
    folder_of,
    holds_temporal_upsampler,
    makes_keyframes,
    trained_scale,
)

if TYPE_CHECKING:
    from jobs.places import Location
    from jobs.spec.job import JobSpec

SCALE = 2
"""How many times as wide and high as the first pass the second one is."""
NAMED: Location = ("engine", TEMPORAL_UPSAMPLER)


def check_round_models(
    spec: JobSpec, here: Mapping[Location, Path], bundled: Path | None
) -> Iterator[BrokenRule]:
    """`here` are the files that are on this machine, by their places; `bundled` is the bundled model's."""
    if spec.engine.name != "diffusers" or spec.upscale is None or not spec.upscale.temporal:
        return
    engine, value = spec.engine, str(spec.upscale.temporal)
    model: Location = ("engine", "diffusion_model" if engine.diffusion_model else "checkpoint")
    path = here.get(model) if engine.diffusion_model or engine.checkpoint else bundled
    if path is None:
        if engine.temporal_upscale_model is None and (engine.diffusion_model or engine.checkpoint):
            yield _not_named()
        return
    if not makes_keyframes(read_weights(folder_of(path, "transformer"))):
        rule = f"{path.name} makes no keyframes, which temporal rounds hold: LTX-2.5 does"
        yield BrokenRule(HERE, value, rule, f"name an LTX-2.5 model, {WITHOUT}", (("engine", "name"), model))
    elif engine.temporal_upscale_model is None and not _inside(here, path):
        yield _not_named()


def check_round_loras(spec: JobSpec, here: Mapping[Location, Path]) -> Iterator[BrokenRule]:
    """An IC-LoRA sees the first pass beside the second one, at half the size, and nothing in the rounds."""
    if spec.upscale is None or not spec.upscale.temporal:
        return
    for at, lora in placed_loras(spec):
        path, place = here.get((*at, "path")), (*at, "strength")
        scale = trained_scale(path) if path is not None else None
        if scale is None:
            continue
        if lora.strengths.of("rounds"):
            rule = "temporal rounds are shown no reference: an IC-LoRA has nothing to look at there"
            remedy = "give it a weight for each pass that it is for, and `rounds: 0`"
            yield BrokenRule(place, "in the rounds", rule, remedy, (HERE,))
        elif lora.strengths.upscale and scale != SCALE:
            rule = (
                f"with temporal rounds the second pass looks at the first, {SCALE} times smaller than the "
                f"film; {Path(lora.path).name} was trained with references {scale} times smaller"
            )
            yield BrokenRule(place, "in the second pass", rule, "leave `upscale` out of it", (HERE,))


def _not_named() -> BrokenRule:
    rule = "temporal rounds need the latent upsampler in time"
    remedy = f"name its file or folder, {WITHOUT}"
    return BrokenRule(NAMED, "not given", rule, remedy, (("engine", "name"), HERE))


def _inside(here: Mapping[Location, Path], model: Path) -> bool:
    return holds_temporal_upsampler(here.get(("engine", "checkpoint"), model))
