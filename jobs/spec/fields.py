"""Looking into the spec's models: which fields exist where, for errors and for the reference page."""

from __future__ import annotations

import types
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING, Any, Union, get_args, get_origin

from pydantic import BaseModel

from jobs.spec.job import JobSpec

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from jobs.places import Location

ModelType = type[BaseModel]


def inner_model(annotation: Any) -> ModelType | None:
    """The model inside an annotation such as `tuple[Chunk, ...]` or `Upscale | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        return None
    return next(filter(None, map(inner_model, get_args(annotation))), None)


def is_list(annotation: Any) -> bool:
    """True for `tuple[X, ...]`, also inside an optional or annotated type."""
    if get_origin(annotation) is tuple:
        return True
    if get_origin(annotation) in (Union, types.UnionType) or hasattr(annotation, "__metadata__"):
        return any(is_list(part) for part in get_args(annotation))
    return False


def model_at(location: Location) -> ModelType | None:
    """The model whose fields are keys at `location`."""
    model: ModelType | None = JobSpec
    for part in location:
        if isinstance(part, str) and model is not None:
            info = model.model_fields.get(part)
            model = inner_model(info.annotation) if info else None
    return model


def field_at(location: Location) -> FieldInfo | None:
    """The field that a value at `location` belongs to."""
    names = [index for index, part in enumerate(location) if isinstance(part, str)]
    if not names:
        return None
    parent = model_at(location[: names[-1]])
    return parent.model_fields.get(str(location[names[-1]])) if parent else None


def sections() -> Iterator[tuple[str, ModelType]]:
    """Every model of the spec with the place where it stands, outermost first."""
    yield from _sections("", JobSpec)


def _sections(place: str, model: ModelType) -> Iterator[tuple[str, ModelType]]:
    yield place, model
    for name, info in model.model_fields.items():
        inner = inner_model(info.annotation)
        if inner is not None:
            here = f"{place}.{name}" if place else name
            yield from _sections(here + ("[]" if is_list(info.annotation) else ""), inner)


@cache
def homes() -> dict[str, tuple[str, ...]]:
    """For every field name, the places that take it."""
    found: dict[str, list[str]] = {}
    for place, model in sections():
        for name in model.model_fields:
            found.setdefault(name, []).append(place or "the top level")
    return {name: tuple(places) for name, places in found.items()}


def all_settings(spec: JobSpec) -> Iterator[tuple[Location, Any]]:
    """Whatever settings of a sampling a spec has, each with its place."""
    yield ("defaults",), spec.defaults
    if spec.upscale is not None:
        yield ("upscale",), spec.upscale
    for index, video in enumerate(spec.videos):
        for number, shot in enumerate(video.shots):
            yield ("videos", index, "shots", number), shot
        for number, chunk in enumerate(video.chunks):
            kind = "generate" if chunk.generate else "extend"
            yield ("videos", index, "chunks", number, kind), chunk.settings
        for number, retake in enumerate(video.retakes):
            yield ("videos", index, "retakes", number), retake
