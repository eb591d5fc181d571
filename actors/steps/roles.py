"""Inputs of a stage step by role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.payload import Payload

Inputs = Mapping[str, Sequence[Payload]]
"""Input payloads by role, those of one role in the order of the task's needs."""


def only(inputs: Inputs, role: str) -> Payload | None:
    """The one payload of an optional role."""
    found = inputs.get(role, ())
    return found[0] if found else None
