"""Values of inputs: written ones, those of nodes that hold one, files, and what is left out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from farm.nodes import NODE_CLASS_MAPPINGS
from farm.workflows.graph import Graph, Link, Node
from jobs.places import shown

if TYPE_CHECKING:
    from farm.workflows.gaps import Gaps

PRIMITIVES = (
    "PrimitiveBoolean",
    "PrimitiveFloat",
    "PrimitiveInt",
    "PrimitiveString",
    "PrimitiveStringMultiline",
)
"""Core's nodes that hold one `value`."""

ANNOTATED = re.compile(r"(?P<name>.*?)(?: \[(?P<folder>input|output|temp)\])?", re.DOTALL)


def literal(graph: Graph, value: Any) -> Any:
    """The value of an input, None where a node computes it."""
    if not isinstance(value, Link):
        return value
    node = graph.of(value)
    return literal(graph, node.inputs.get("value")) if node.kind in PRIMITIVES else None


def settings_of(graph: Graph, node: Node, gaps: Gaps) -> Mapping[str, Any]:
    """What the switches and numbers of one of our nodes say, its own defaults included."""
    tables = NODE_CLASS_MAPPINGS[node.kind].INPUT_TYPES()  # type: ignore[attr-defined]
    found = {}
    for name, (kind, *options) in {**tables["required"], **tables["optional"]}.items():
        if kind not in ("INT", "FLOAT", "BOOLEAN") and not isinstance(kind, list):
            continue
        default = options[0]["default"]
        value = literal(graph, node.inputs.get(name, default))
        if value is None:
            source = graph.of(node.inputs[name]).shown
            gaps.note(node.place(name), source, f"what it computes is not known: {shown(default)} stands")
        found[name] = default if value is None else value
    return found


def file_name(value: Any) -> str:
    """A model's name with the separators of every system."""
    return str(value).replace("\\", "/")


def media_file(value: Any, comfyui: str | None) -> str:
    """The path of a file that a node loads out of ComfyUI's own folders, `NAME [output]` among them; below
    `input/` where ComfyUI's folder is not known."""
    found = ANNOTATED.fullmatch(file_name(value))
    assert found is not None
    inside = f"{found['folder'] or 'input'}/{found['name']}"
    return f"{comfyui.rstrip('/')}/{inside}" if comfyui else inside
