"""Words of prompts that one engine reads otherwise than the other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.advice.models import described

if TYPE_CHECKING:
    from jobs.planning.planned import Plan

WEIGHTED = re.compile(r"(?<!\\)\([^()]+:\s*\d*\.?\d+\s*\)")
BRACKETED = re.compile(r"(?<!\\)\([^()]+\)")


def texts(plan: Plan) -> Iterator[tuple[str, str]]:
    """Every prompt and negative that is rendered, once, with the place of the first chunk that has it."""
    seen: dict[str, str] = {}
    for video in plan.films:
        for chunk in video.chunks:
            if chunk.is_sampled:
                seen.setdefault(chunk.prompt, f"{chunk.place}.prompt")
                seen.setdefault(chunk.negative, f"{chunk.place}.negative")
    yield from ((place, text) for text, place in seen.items())


def weight_advice(plan: Plan) -> Iterator[str]:
    """Weights in brackets, which ComfyUI's T5 applies and every other encoder reads as words."""
    engine = plan.engine
    found = described(engine)
    family = found[1].family if found else ""
    if engine.name == "diffusers":
        reader, pattern = "the diffusers engine, like Lightricks' and diffusers' own pipelines,", WEIGHTED
    elif engine.name == "comfyui" and family == "ltx-2":
        reader, pattern = "the text encoder of LTX-2", WEIGHTED
    elif engine.name == "comfyui" and family == "ltx-video":
        yield from _weighs(plan)
        return
    else:
        return
    if first := _first(plan, pattern):
        place, words = first
        yield (
            f'{place}: {reader} reads "{words}" as it is written, brackets and number included; ComfyUI\'s '
            "T5 would weigh the word. Write what you mean in words"
        )


def _weighs(plan: Plan) -> Iterator[str]:
    plain = re.compile(rf"(?!{WEIGHTED.pattern}){BRACKETED.pattern}")
    if first := _first(plan, plain):
        place, words = first
        escaped = words.replace("(", "\\(").replace(")", "\\)")
        yield (
            f'{place}: ComfyUI weighs what stands in brackets by 1.1, here "{words}". Write '
            f'"{escaped}" for brackets that are only brackets'
        )


def _first(plan: Plan, pattern: re.Pattern[str]) -> tuple[str, str] | None:
    hits = ((place, match[0]) for place, text in texts(plan) if (match := pattern.search(text)))
    return next(hits, None)
