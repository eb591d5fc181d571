"""Every ComfyUI node this project uses is looked up and called here, by its id.

A node describes itself with `FUNCTION` (old style) or with a schema and `execute` (new style); one release
has both. Nodes of `comfy_extras` are imported directly, so full node initialisation is never needed.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from actors.engines.comfyui.core.requirements import FEATURES, Api, lacking, missing_api
from jobs.errors import CannotRun

EXTRAS = (
    "nodes_lt",
    "nodes_custom_sampler",
    "nodes_lt_audio",
    "nodes_lt_upsampler",
    "nodes_hunyuan",
    "nodes_slg",
)


@dataclass
class Core:
    """The ComfyUI loaded in this process."""

    version: str
    _nodes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def current(cls) -> Core:
        """Attach to the ComfyUI that is already imported: by its own `main.py`, or by `boot`."""
        return cls(str(importlib.import_module("comfyui_version").__version__))

    def has(self, node_id: str) -> bool:
        return self._find(node_id) is not None

    def node(self, node_id: str) -> Any:
        """The node class. Raises MissingCoreApi where this core has none of that id."""
        found = self._find(node_id)
        if found is None:
            raise missing_api(node_id, self.version)
        return found

    def call(self, node_id: str, **inputs: Any) -> tuple[Any, ...]:
        """Run one node, as the prompt queue would, and return its outputs."""
        node = self.node(node_id)
        if hasattr(node, "define_schema"):
            return tuple(node.execute(**inputs).args)
        return tuple(getattr(node(), node.FUNCTION)(**inputs))

    def require(self, feature: str) -> None:
        """Raise MissingCoreApi unless the feature (a key of `FEATURES`) works on this core."""
        if faults := self.lacks(feature):
            raise lacking(feature, faults, self.version)

    def lacks(self, feature: str) -> tuple[str, ...]:
        """Why this core cannot do the feature: what is absent, what is called otherwise there, what is
        known to fail; empty where it can."""
        wanted = FEATURES[feature]
        faults = [fault for api in wanted.apis if (fault := self._fault(api))]
        known = wanted.broken.get(self.version)
        return (*faults, *([known] if known else []))

    def _fault(self, api: Api) -> str:
        """Why the API cannot be called as this project calls it; empty where it can."""
        function = self._callable(api)
        if function is None:
            return f"it has no {api.name}"
        values: list[Any] = [None] * api.positional
        try:
            inspect.signature(function).bind(*values, **dict.fromkeys(api.inputs))
        except TypeError as error:
            return f"{api.name} is called otherwise there ({error})"
        return ""

    def _callable(self, api: Api) -> Any | None:
        if not api.is_node:
            return function_named(api.name)
        node = self._find(api.name)
        if node is None:
            return None
        return node.execute if hasattr(node, "define_schema") else getattr(node(), node.FUNCTION)

    def _find(self, node_id: str) -> Any | None:
        if node_id not in self._nodes:
            self._nodes[node_id] = _lookup(node_id)
        return self._nodes[node_id]


def function_named(dotted: str) -> Any | None:
    """A function by its dotted name, None where it is not there: the longest importable prefix, then
    attributes."""
    parts = dotted.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:split]))
        except ModuleNotFoundError:
            continue
        for part in parts[split:]:
            found = getattr(found, part, None)
        return found
    return None


def _lookup(node_id: str) -> Any | None:
    import nodes

    if node_id in nodes.NODE_CLASS_MAPPINGS:
        return nodes.NODE_CLASS_MAPPINGS[node_id]
    lacking: list[str] = []
    for name in EXTRAS:
        try:
            found = _extra_nodes(name).get(node_id)
        except ModuleNotFoundError as error:
            lacking.append(str(error.name))
            continue
        if found is not None:
            return found
    if lacking:
        raise CannotRun(
            f"The ComfyUI node {node_id} may be in a module that needs the package {lacking[0]!r}, which "
            f"this Python lacks: run `{sys.executable} -m pip install {lacking[0]}`."
        )
    return None


_extras: dict[str, dict[str, Any]] = {}


def _extra_nodes(name: str) -> dict[str, Any]:
    """Node classes of `comfy_extras.<name>` by id; empty where this core has no such module."""
    if name not in _extras:
        full_name = f"comfy_extras.{name}"
        try:
            module = importlib.import_module(full_name)
        except ModuleNotFoundError as error:
            if error.name != full_name:
                raise
            return _extras.setdefault(name, {})
        _extras[name] = dict(getattr(module, "NODE_CLASS_MAPPINGS", None) or _from_entrypoint(module))
    return _extras[name]


def _from_entrypoint(module: Any) -> dict[str, Any]:
    async def listed() -> list[Any]:
        extension = await module.comfy_entrypoint()
        return list(await extension.get_node_list())

    # ComfyUI runs nodes inside an event loop, where another cannot be started: use a thread that has none.
    with ThreadPoolExecutor(max_workers=1) as pool:
        found = pool.submit(asyncio.run, listed()).result()
    return {node.define_schema().node_id: node for node in found}
