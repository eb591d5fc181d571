"""What every model of the spec shares: strictness, bounds, path handling and refusals with a remedy."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from jobs.frames import SPATIAL, TEMPORAL

MAX_SEED = 2**63 - 1
MAX_SIDE = 16384
MAX_FRAMES = 8193
NAME_RULE = "a plain file name: up to 80 letters, digits, '-', '_' and '.', starting with a letter or digit"
SAFE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,78}[A-Za-z0-9_-])?")

Item = TypeVar("Item")
Many = Annotated[tuple[Item, ...], Field(strict=False)]


class Model(BaseModel):
    """Frozen, strict (no text for numbers), and closed to unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=False
    )


def refusal(rule: str, remedy: str) -> PydanticCustomError:
    """An error that carries its own rule and remedy to the reader of the spec."""
    return PydanticCustomError("rule", "{rule}", {"rule": rule, "remedy": remedy})


def nearest_steps(value: int, step: int, offset: int, low: int, high: int) -> tuple[int, ...]:
    """The one or two legal values `step * k + offset` in `[low, high]` that lie nearest to `value`."""
    below = (value - offset) // step * step + offset
    return tuple(sorted({min(max(candidate, low), high) for candidate in (below, below + step)}))


def _check_size(value: int) -> int:
    if value % SPATIAL == 0 and SPATIAL <= value <= MAX_SIDE:
        return value
    raise refusal(
        f"a multiple of {SPATIAL} from {SPATIAL} to {MAX_SIDE}",
        f"write {either(nearest_steps(value, SPATIAL, 0, SPATIAL, MAX_SIDE))}",
    )


def _check_num_frames(value: int) -> int:
    if value % TEMPORAL == 1 and TEMPORAL < value <= MAX_FRAMES:
        return value
    raise refusal(
        f"8k + 1 frames, from 9 to {MAX_FRAMES}",
        f"write {either(nearest_steps(value, TEMPORAL, 1, 9, MAX_FRAMES))}",
    )


def _check_more_frames(value: int) -> int:
    if value % TEMPORAL == 0 and TEMPORAL <= value < MAX_FRAMES:
        return value
    raise refusal(
        f"a multiple of {TEMPORAL} from {TEMPORAL} to {MAX_FRAMES - 1}",
        f"write {either(nearest_steps(value, TEMPORAL, 0, TEMPORAL, MAX_FRAMES - 1))}",
    )


def _check_name(value: str) -> str:
    if SAFE_NAME.fullmatch(value):
        return value
    raise refusal(NAME_RULE, f"write {safe_name(value)!r}")


def safe_name(text: str) -> str:
    """The legal name nearest to `text`."""
    kept = re.sub(r"[^A-Za-z0-9._-]+", "-", text[:200]).strip("-._")[:80].rstrip(".")
    return kept or "film"


def either(values: tuple[int, ...]) -> str:
    """`80`, or `80 or 88`."""
    return " or ".join(str(value) for value in values)


def resolve_path(value: str, info: ValidationInfo) -> str:
    """The path seen from the folder of the spec, which the validation context names `base`."""
    if not value or "\0" in value:
        raise refusal("the path of a file", "write a path, relative to the spec file")
    base = (info.context or {}).get("base")
    if base is None or "://" in value:
        return value
    try:
        return os.path.normpath(Path(base, Path(value).expanduser()))
    except RuntimeError:
        raise refusal("`~` is followed by a user of this machine", "write the path in full") from None


def resolve_folder(value: str, info: ValidationInfo) -> str:
    """The path of a folder, as `resolve_path`; a URL of a local one becomes its path."""
    scheme, slashes, rest = value.partition("://")
    if slashes and scheme in ("file", "local"):
        return resolve_path(rest, info)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/(?!/)", value):
        raise refusal("a folder, or the URL of one", f"write {value.replace(':/', '://', 1)[:60]!r}")
    return resolve_path(value, info)


def resolve_model(value: str, info: ValidationInfo) -> str:
    """A model file beside the spec becomes a path; anything else stays the name that the engine knows."""
    found = resolve_path(value, info)
    looks_local = value.startswith(("./", "../", "/", "~"))
    return found if looks_local or is_there(Path(found)) else value


def is_there(path: Path) -> bool:
    """True when something stands at `path`; a path that no file can have is simply not there."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


InputPath = Annotated[str, Field(max_length=4096), AfterValidator(resolve_path)]
OutputFolder = Annotated[str, Field(max_length=4096), AfterValidator(resolve_folder)]
ModelRef = Annotated[str, Field(max_length=4096), AfterValidator(resolve_model)]
Size = Annotated[int, AfterValidator(_check_size), Field(json_schema_extra={"multipleOf": SPATIAL})]
NumFrames = Annotated[int, AfterValidator(_check_num_frames), Field(json_schema_extra={"minimum": 9})]
MoreFrames = Annotated[
    int, AfterValidator(_check_more_frames), Field(json_schema_extra={"multipleOf": TEMPORAL})
]
Name = Annotated[
    str, AfterValidator(_check_name), Field(json_schema_extra={"pattern": f"^{SAFE_NAME.pattern}$"})
]
Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
Fit = Literal["crop", "pad"]
Conformed = Annotated[
    Fit,
    Field(
        description="What is done where its aspect is another: `crop` covers the frame and cuts off what is "
        "over, `pad` shows all of it between black bars."
    ),
]
Strength = Annotated[float, Field(ge=0.0, le=1.0)]
