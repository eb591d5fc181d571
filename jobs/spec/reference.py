"""The reference page of the job spec, made from its models: `python -m jobs.spec.reference > docs/spec.md`"""

from __future__ import annotations

import sys
import types
from collections.abc import Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from jobs.spec.chunk import Defaults, Extend, Generate, Guider, Settings
from jobs.spec.fields import ModelType, inner_model, sections
from jobs.spec.output import DeliveryFormat, FilmFormat
from jobs.spec.retake import Retake
from jobs.spec.shot import Shot

INTRO = """# Job spec

This page is made from the models that check the spec (`python -m jobs.spec.reference > docs/spec.md`).

A spec is JSON, or YAML with the values of YAML 1.2: `true` and `false` are the truth values, `off`, `no`,
`yes`, `12:30` and `1_000` are text, `010` is ten. `docs/reliability.md` lists how much one may hold. Paths
are relative to the spec file. Keys that are not listed here are refused, and `farm check` lists every mistake
at once with its place, the rule and the remedy. `farm schema` prints the JSON Schema that editors complete
from. A field that is removed or renamed raises `version`: specs of earlier versions are read, what left them
is refused with what says it instead, and `farm migrate film.yaml` rewrites them, comments and spelling kept.
Any field can be set from the command line:
`farm render spec.yaml -p defaults.seed=3 -p 'videos[0].chunks[1].extend.prompt=rain'`.

- A **shot** is the film between two cuts, in seconds. Times are snapped to whole latents of 8
  frames; `farm plan` says which became other ones. A shot becomes a generate and extends: its chunks have at
  most `num_frames`, then `num_new_frames` of `defaults`, one begins at each beat, and two meet in each image
  that is held within the shot. `farm plan --explicit` prints them; they have the same digests.
- A **generate** begins a shot. After the first chunk of a video it is a hard cut.
- An **extend** continues the shot by exactly `num_new_frames`. Its `overlap_frames` look back at the chunk
  before, and all of them but the first 8 are blended, so the overlap may be at most 8 frames longer than what
  that chunk added.
- A **retake** makes a part of the video's source anew, between what stays. `docs/retakes.md` has it all.
- What a chunk leaves out comes from `defaults`.
- **Seeds** derive from the job seed, the video's name, the shot, the index within the shot, and the stage.
  The shot is known by its name (`shot` in a generate) or, without one, by its prompt: shots can be inserted,
  moved or removed without changing any other. An explicit seed of a chunk is taken literally; a shot with a
  `seed` is known by that, and may be renamed.
- **matrix** makes one video per combination, named `<video>-<field>-<value>`, or `<video>-<field>_<number>`
  with the value's number where the value is longer than 24 characters, not unique, or holds the name of the
  next field. Its keys are fields of `defaults`, or words that prompts name in braces: any other `{word}` is
  refused. All of them share the seeds of the video, unless `seed` is in the matrix, or `prompt` where it
  names a shot (give that shot a `shot` name).
"""

KINDS = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value"}
PLURALS = {"whole number": "whole numbers", "number": "numbers", "mapping": "mappings", "any value": "values"}


def reference_page() -> str:
    """The whole page, Markdown."""
    parts = [INTRO]
    seen: set[ModelType] = set()
    for place, model in _in_reading_order():
        if model not in seen:
            seen.add(model)
            parts.append(_section(place, model))
    return "\n".join(parts)


def _in_reading_order() -> Iterator[tuple[str, ModelType]]:
    """Settings stand once, before the chunks and the defaults that share them."""
    for place, model in sections():
        yield place, model
        if model is Defaults:
            yield "chunk settings", Settings


def _section(place: str, model: ModelType) -> str:
    title = f"`{place}`" if place and model is not Settings else place.capitalize() or "Top level"
    head = f"## {title}\n\n{_summary(model)}\n"
    if model is DeliveryFormat:
        named = ", ".join(f"`{name}`" for name in FilmFormat.model_fields)
        return f"{head}\nTakes {named}, each as in [`output`](#output).\n"
    shared = model in (Defaults, Shot, Generate, Extend, Retake)
    note = f"\nTakes all [chunk settings](#chunk-settings){_but(model)}, and:\n" if shared else ""
    own = {
        name: info
        for name, info in model.model_fields.items()
        if not (shared and name in Settings.model_fields)
    }
    rows = [
        f"| `{name}` | {_kind(info)} | {_default(info)} | {info.description} |" for name, info in own.items()
    ]
    table = "\n".join(["| field | takes | default | meaning |", "| --- | --- | --- | --- |", *rows])
    return f"{head}{note}\n{table}\n"


def _but(model: ModelType) -> str:
    """The settings of a chunk that it has not."""
    lacking = [f"`{name}`" for name in Settings.model_fields if name not in model.model_fields]
    return f" but {', '.join(lacking[:-1])} and {lacking[-1]}" if lacking else ""


def _summary(model: ModelType) -> str:
    return " ".join((model.__doc__ or "").split())


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    if info.default is PydanticUndefined or info.default in (None, ()):
        return "-"
    if isinstance(info.default, Guider):
        return f"`{info.default.name}`"
    if isinstance(info.default, BaseModel):
        return "see below"
    if isinstance(info.default, bool):
        return f"`{str(info.default).lower()}`"
    return f"`{info.default}`" if info.default != "" else "empty"


def _kind(info: FieldInfo) -> str:
    limits = _limits(info.metadata)
    return f"{_type_text(info.annotation)}{limits}"


def _limits(metadata: list[Any]) -> str:
    found = {
        key: getattr(item, key) for item in metadata for key in ("ge", "gt", "le", "lt") if hasattr(item, key)
    }
    low, high = found.get("ge", found.get("gt")), found.get("le", found.get("lt"))
    if low is None and high is None:
        return ""
    above = "above " if "gt" in found else ""
    if high is None:
        return f", {above or 'from '}{low:g}"
    return f", {above}{low:g} to {high:g}" if isinstance(high, float) or high < 1 << 53 else f", from {low}"


def _type_text(annotation: Any) -> str:
    if annotation in KINDS:
        return KINDS[annotation]
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return f"{_type_text(args[0])}{_limits([meta for item in args[1:] for meta in _constraints(item)])}"
    if origin is Literal:
        words = ("true" if choice is True else choice for choice in args)
        return " \\| ".join(f"`{word}`" for word in words)
    if origin is tuple:
        return f"list of {_plural(_type_text(args[0]))}"
    if origin is dict:
        return f"mapping to {_plural(_type_text(args[1]))}"
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_type_text(arg) for arg in args if arg is not type(None)))
    return "mapping" if inner_model(annotation) else "value"


def _constraints(item: Any) -> list[Any]:
    return item.metadata if isinstance(item, FieldInfo) else [item]


def _plural(text: str) -> str:
    for singular, plural in PLURALS.items():
        if text.startswith(singular):
            return plural + text.removeprefix(singular)
    return text


if __name__ == "__main__":
    sys.stdout.write(reference_page())
