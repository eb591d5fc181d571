"""A workflow to a job spec."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from farm.workflows.films import SHAPE, Film, FilmReader
from farm.workflows.gaps import Effect, Gap, Gaps
from farm.workflows.graph import Graph, Link, Node, read_graph
from farm.workflows.models import ModelReader, without_bundled
from jobs.spec.base import safe_name
from jobs.spec.chunk import Defaults
from jobs.spec.versions import NEWEST

SHOWS = (
    "CreateVideo",
    "LTXVAudioVAEDecode",
    "LTXVConcatAVLatent",
    "LTXVSeparateAVLatent",
    "PreviewAudio",
    "PreviewImage",
    "SaveAnimatedPNG",
    "SaveAnimatedWEBP",
    "SaveAudio",
    "SaveImage",
    "SaveLatent",
    "SaveVideo",
    "SaveWEBM",
    "VAEDecode",
)
"""Nodes that show or keep what a film is: the farm delivers films."""
OWN = ("prompt", "negative", "sampler", "sigmas", "guider")
"""Settings whose absence says something, too."""
SECOND_PASS = {"steps": "upscale_steps", "cfg": "upscale_cfg", "denoise": "upscale_denoise"}

Data = dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """A spec as plain data, and what of the workflow it does not say."""

    spec: Data
    gaps: tuple[Gap, ...]

    @property
    def text(self) -> str:
        """The spec as YAML."""
        return yaml.safe_dump(self.spec, sort_keys=False, allow_unicode=True, width=110)

    @property
    def whole(self) -> bool:
        """Whether the spec renders the workflow's film."""
        return not any(gap.effect is Effect.FILM for gap in self.gaps)


def import_workflow(path: Path, name: str, comfyui: str | None = None) -> Imported:
    """The job `name` of a workflow file; `comfyui` is the folder out of whose `input/` it loads pictures and
    sound. Raises UsageError for a file that is no workflow in API format."""
    graph = read_graph(path)
    gaps = Gaps()
    films = FilmReader(graph, comfyui, gaps).films(name)
    engine = _engine(films, gaps)
    upscale = _upscale(graph, films, gaps)
    for node in _others(graph):
        gaps.note(node.place(), node.kind, "is no part of a film: left out", Effect.NONE)
    spec: Data = {
        "version": NEWEST,
        "name": name,
        "engine": {"name": "comfyui", **without_bundled({**engine, **upscale.pop("engine", {})})},
        **_shared(films),
    }
    if upscale:
        spec["upscale"] = upscale
    videos = [
        {**film.fields, "chunks": [copy.deepcopy(chunk.chunk) for chunk in film.chunks]} for film in films
    ]
    return Imported({**spec, "videos": videos}, tuple(gaps.made))


def _engine(films: Sequence[Film], gaps: Gaps) -> Data:
    """The models of the first node; a job has no others."""
    chunks = {chunk.node.id: chunk for film in films for chunk in film.chunks}
    first, *others = chunks.values()
    engine = dict(first.engine)
    for chunk in others:
        for field, value in chunk.engine.items():
            if engine.setdefault(field, value) != value:
                reason = f"a job has one: that of node {first.node.id} stands"
                gaps.note(chunk.node.place(), f"another {field}", reason)
        if chunk.engine.get("loras") != first.engine.get("loras"):
            gaps.note(chunk.node.place("model"), "other LoRAs", f"those of node {first.node.id} stand")
    return engine


def _shared(films: Sequence[Film]) -> Data:
    """`defaults` of what all chunks say alike; what they need not say is taken from the chunks."""
    own = [settings for film in films for chunk in film.chunks for settings in chunk.chunk.values()]
    shapes = [film.fields for film in films]
    defaults: Data = {}
    for group, names in ((shapes, SHAPE), (own, [*Defaults.model_fields])):
        for name in names:
            said = [fields[name] for fields in group if name in fields]
            if name == "seed" or not said or any(value != said[0] for value in said):
                continue
            if len(said) < len(group) and name in OWN:
                continue
            for fields in group:
                fields.pop(name, None)
            if Defaults.model_fields[name].default != said[0]:
                defaults[name] = said[0]
    return {"defaults": defaults} if defaults else {}


def _upscale(graph: Graph, films: Sequence[Film], gaps: Gaps) -> Data:
    """The second pass, where every film ends in a node that upscales."""
    chunks = {chunk.node.id: chunk for film in films for chunk in film.chunks}
    upscaled = [chunk for chunk in chunks.values() if chunk.values["upscale"]]
    ends = {film.last.id for film in films}
    if not upscaled:
        return {}
    for chunk in upscaled:
        if chunk.node.id not in ends or len(upscaled) < len(ends):
            reason = "a job upscales all its films, each after its last chunk: left out"
            gaps.note(chunk.node.place("upscale"), chunk.node.shown, reason)
            return {}
    last = upscaled[0]
    reason = "the second pass of a job draws noise of its own: the same settings, another take"
    gaps.note(last.node.place("upscale"), "true", reason)
    passes = {field: last.values[name] for field, name in SECOND_PASS.items()}
    settings = next(iter(last.chunk.values()))
    shared = {
        name: settings[name] for name in ("sampler", "guider", "max_shift", "base_shift") if name in settings
    }
    model = ModelReader(graph, gaps).upscale_model(last.node)
    return {"engine": model, **passes, "joint": "overlap", **shared}


def _others(graph: Graph) -> Iterator[Node]:
    """Nodes that no chunk reads, and that are more than a look at a film."""
    read: set[str] = set()
    waiting = [node.id for node in graph.ours()]
    while waiting:
        node = graph.nodes[waiting.pop()]
        if node.id not in read:
            read.add(node.id)
            waiting += [value.source for value in node.inputs.values() if isinstance(value, Link)]
    shown = {node.id for node in graph.nodes.values() if node.kind in SHOWS}
    yield from (node for node in graph.nodes.values() if node.id not in read | shown)


def job_name(path: Path) -> str:
    """That of the workflow's file."""
    return safe_name(path.stem)
