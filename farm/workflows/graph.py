"""A workflow as ComfyUI's server takes it (API format): nodes by id, inputs that are values or links."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, NoReturn

from jobs.errors import Problem, UsageError
from jobs.parsing.document import parse_json
from jobs.parsing.text import read_text
from jobs.places import shown

GENERATE, EXTEND = "RSLTXVGenerate", "RSLTXVExtend"
OURS = (GENERATE, EXTEND)
API_FORMAT = "a workflow in API format: an object of nodes, each with `class_type` and `inputs`"
EXPORT = (
    "open it in ComfyUI and export it with Workflow > Export (API); older front ends have Save (API Format) "
    "once the dev mode is switched on in the settings"
)


@dataclass(frozen=True, slots=True)
class Link:
    """Output number `output` of the node `source`."""

    source: str
    output: int


@dataclass(frozen=True, slots=True)
class Node:
    """`inputs` are values, or a `Link`."""

    id: str
    kind: str
    inputs: Mapping[str, Any]

    def link(self, name: str) -> Link | None:
        """What is connected to an input; None where nothing is."""
        found = self.inputs.get(name)
        return found if isinstance(found, Link) else None

    def place(self, name: str = "") -> str:
        """As a gap names it: `5.latent`."""
        return f"{self.id}.{name}" if name else self.id

    @property
    def shown(self) -> str:
        return f"{self.kind} (node {self.id})"


@dataclass(frozen=True, slots=True)
class Graph:
    """All nodes, by id in the order of the file; every link leads to one of them, and none in a circle."""

    nodes: Mapping[str, Node]

    def of(self, link: Link) -> Node:
        """The node that a link comes from."""
        return self.nodes[link.source]

    def ours(self) -> list[Node]:
        """Generates and Extends."""
        return [node for node in self.nodes.values() if node.kind in OURS]

    def links(self) -> Iterator[tuple[Node, str, Link]]:
        """Every link, with the node and the input that it ends in."""
        for node in self.nodes.values():
            for name, value in node.inputs.items():
                if isinstance(value, Link):
                    yield node, name, value


def read_graph(path: Path) -> Graph:
    """The workflow in a file. Raises UsageError for anything else, SpecError for JSON that cannot be read."""
    if not path.is_file():
        _refuse(str(path), "no file", API_FORMAT, "give the path of the workflow that was exported")
    text = read_text(path)
    if not text.lstrip().startswith("{"):
        _refuse(path.name, "no JSON object", API_FORMAT, EXPORT)
    data = parse_json(text, path.name).data
    if isinstance(data.get("nodes"), list):
        _refuse(path.name, "the format in which ComfyUI's editor saves", API_FORMAT, EXPORT)
    graph = Graph({key: _node(path.name, key, value) for key, value in data.items()})
    _check_links(path.name, graph)
    if not graph.ours():
        rule = "a workflow with RS LTXV Generate or RS LTXV Extend: their settings are what a job spec has"
        kinds = ", ".join(sorted({node.kind for node in graph.nodes.values()})[:8]) or "no nodes"
        _refuse(path.name, kinds, rule, "rebuild the sampling with these nodes, or write a spec: farm init")
    return graph


def _node(file: str, key: str, value: Any) -> Node:
    kind, inputs = (value.get("class_type"), value.get("inputs")) if isinstance(value, dict) else (None, None)
    if not isinstance(kind, str) or not isinstance(inputs, dict):
        _refuse(f"{file}: {key}", shown(value), API_FORMAT, EXPORT)
    return Node(key, kind, {name: _input(entry) for name, entry in inputs.items()})


def _input(value: Any) -> Any:
    """A list of a node's id and an output's number is a link, as core reads it."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int:
        return Link(value[0], value[1])
    return value


def _check_links(file: str, graph: Graph) -> None:
    for node, name, link in graph.links():
        if link.source not in graph.nodes:
            rule = "a link to a node of the workflow"
            _refuse(f"{file}: {node.place(name)}", f"node {shown(link.source)}", rule, EXPORT)
    order = TopologicalSorter({node.id: set[str]() for node in graph.nodes.values()})
    for node, _, link in graph.links():
        order.add(node.id, link.source)
    try:
        order.prepare()
    except CycleError as error:
        circle = " -> ".join(error.args[1][:8])
        _refuse(file, f"a circle of nodes: {circle}", "nodes that come after what they read", EXPORT)


def _refuse(place: str, value: str, rule: str, remedy: str) -> NoReturn:
    raise UsageError([Problem(place, value, rule, remedy)])
