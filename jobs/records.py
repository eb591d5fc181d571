"""How the farm writes its values down, and how every version reads them again.

A record is a dataclass as a JSON object, with the number of its format; a document has the version that wrote
it besides, and a checksum. Whoever reads one passes over fields that it does not know, takes the dataclass's
default for those that are missing, and names the place of a value that has another type. A record of a newer
format is read as far as it can be, and never written over.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from jobs.errors import NewerFormat
from jobs.version import VERSION

CHECK, FORMAT, FARM = "check", "format", "farm"
MOST_SHOWN = 60
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}

T = TypeVar("T")


class Unreadable(Exception):
    """Bytes that are no record of the expected form; the message says what is wrong with them, and where."""


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """One kind of record: its name in messages (for a document, that of its file), the dataclass that it
    holds, and the number of the format that this version writes.

    The number is raised where an older version would misread what the newer one writes: not for a new field
    that it may pass over.
    """

    name: str
    kind: type[T]
    format: int = 1

    def pack(self, value: T) -> dict[str, Any]:
        """The value's JSON object."""
        return {FORMAT: self.format, **_adapter(self.kind).dump_python(value, mode="json")}

    def parse(self, data: bytes | str) -> T:
        """The value of a JSON object; raises Unreadable, or NewerFormat where that may be why."""
        try:
            return _adapter(self.kind).validate_json(data, strict=True, extra="ignore")
        except ValidationError as error:
            fault = _first_fault(error)
        newer = newer_than(self, _loaded(data))
        if newer is not None:
            raise newer
        raise Unreadable(fault)

    def encode(self, value: T) -> bytes:
        """The document's bytes."""
        return seal({**self.pack(value), FARM: VERSION})

    def decode(self, data: bytes) -> T:
        """The value of a document; raises Unreadable where the bytes are not whole, NewerFormat."""
        unseal(data)
        return self.parse(data)


def seal(value: Mapping[str, Any]) -> bytes:
    """JSON bytes that carry their own SHA-256, so that a torn or altered file is recognised."""
    body = {key: item for key, item in value.items() if key != CHECK}
    return json.dumps({**body, CHECK: _check(body)}, indent=1).encode() + b"\n"


def unseal(data: bytes) -> dict[str, Any]:
    """What `seal` was given; raises Unreadable where the bytes are not whole."""
    value = _loaded(data)
    if not value:
        raise Unreadable("no JSON object: it is torn")
    if value.pop(CHECK, None) != _check(value):
        raise Unreadable("the content does not match its checksum")
    return value


def newer_than(form: Form[Any], record: Mapping[str, Any]) -> NewerFormat | None:
    """The error for a record of a later format than `form` writes; None for every other."""
    written = record.get(FORMAT)
    if not isinstance(written, int) or written <= form.format:
        return None
    by = f"farm {record[FARM]}" if isinstance(record.get(FARM), str) else "a newer farm"
    return NewerFormat(
        f"{form.name} was written by {by} in format {written}; this is farm {VERSION}, which writes format "
        f"{form.format}. Use that version for this job, or render into another one with --job-id."
    )


def _loaded(data: bytes | str) -> dict[str, Any]:
    """The JSON object; empty where there is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]


def _first_fault(error: ValidationError) -> str:
    """`tasks.total: 'many' (input should be a valid integer)`."""
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] == "missing":
        return f"{place}: is missing"
    if not place:
        return "is no JSON object"
    shown = repr(first["input"])
    shown = shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}..."
    return f"{place}: {shown} ({first['msg'][:1].lower()}{first['msg'][1:]})"


def _check(body: Mapping[str, Any]) -> str:
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()
