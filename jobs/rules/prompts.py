"""Prompts against what the model can read: the bundled one knows few words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

from jobs.planning.expand import Variant, placed_chunks, variants
from jobs.rules.findings import BrokenRule

if TYPE_CHECKING:
    from jobs.places import Location
    from jobs.planning.facts import PromptFault, PromptReader
    from jobs.spec.chunk import CommonSettings
    from jobs.spec.engine import EngineConfig
    from jobs.spec.job import JobSpec

FIELDS = ("prompt", "negative")
ENGINE: Location = ("engine",)
_PLACEHOLDER = re.compile(r"\{\w*\}")


def uses_bundled_words(engine: EngineConfig) -> bool:
    """Whether prompts go through the text encoder of the bundled model."""
    named = (engine.checkpoint, engine.diffusion_model, engine.text_encoder)
    return engine.name != "fake" and not any(named)


def check_prompts(spec: JobSpec, read: PromptReader) -> Iterator[BrokenRule]:
    """Every prompt as it will be rendered can be read; what cannot is named where it is written."""
    remembered = cache(read)
    for variant in variants(spec):
        for placed in placed_chunks(variant):
            for field in FIELDS:
                place = placed.prompt if field == "prompt" else (*placed.here, field)
                yield from _check_text(spec, variant, (place, placed.chunk.settings, field), remembered)
        for number, retake in enumerate(variant.video.retakes):
            here: Location = ("videos", variant.index, "retakes", number)
            for field in FIELDS:
                yield from _check_text(spec, variant, ((*here, field), retake, field), remembered)


def _check_text(
    spec: JobSpec, variant: Variant, at: tuple[Location, CommonSettings, str], read: PromptReader
) -> Iterator[BrokenRule]:
    own_place, settings, field = at
    own = field in settings.model_fields_set
    text = getattr(settings if own else variant.defaults, field) or ""
    fault = read(variant.fill(text))
    if fault is None:
        return
    words = _faulty_words(spec, variant, text, read)
    written = read(_PLACEHOLDER.sub(" ", text))
    place = own_place if own else _default_place(spec, variant, field)
    if written is not None or not words:
        worst = written or fault
        yield BrokenRule(place, worst.value, worst.rule, worst.remedy, (ENGINE,))
    for location, found in words:
        yield BrokenRule(location, found.value, found.rule, found.remedy, (place, ENGINE))


def _faulty_words(
    spec: JobSpec, variant: Variant, text: str, read: PromptReader
) -> list[tuple[Location, PromptFault]]:
    """Values of the matrix that stand in the text and cannot be read."""
    found = []
    for key, picked in variant.combination:
        if key in variant.words and "{" + key + "}" in text:
            fault = read(picked)
            if fault is not None:
                found.append((_matrix_place(spec, key, picked), fault))
    return found


def _default_place(spec: JobSpec, variant: Variant, field: str) -> Location:
    picked = dict(variant.combination).get(field)
    return ("defaults", field) if picked is None else _matrix_place(spec, field, picked)


def _matrix_place(spec: JobSpec, key: str, picked: str) -> Location:
    return ("matrix", key, [str(value) for value in spec.matrix[key]].index(picked))
