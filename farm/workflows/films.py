"""The films of a workflow: each end of a chain of nodes is one, with the chunks that lead to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.workflows.chunks import Before, NodeChunk, before, chunk_of
from farm.workflows.graph import EXTEND, GENERATE, Graph, Node
from farm.workflows.values import literal, media_file
from jobs.spec.base import safe_name

if TYPE_CHECKING:
    from farm.workflows.gaps import Gaps

SHAPE = ("width", "height", "frame_rate")


@dataclass(frozen=True, slots=True)
class Film:
    """Its chunks in order, its fields of a spec without them, and the node whose latents it ends in."""

    chunks: tuple[NodeChunk, ...]
    fields: dict[str, Any]

    @property
    def last(self) -> Node:
        return self.chunks[-1].node


class FilmReader:
    """Reads each node once, however many films begin with it."""

    def __init__(self, graph: Graph, comfyui: str | None, gaps: Gaps) -> None:
        self.graph, self.comfyui, self.gaps = graph, comfyui, gaps
        self.read: dict[str, NodeChunk] = {}

    def films(self, name: str) -> list[Film]:
        """One for each node that no Extend continues; `name` is the job's."""
        continued = {
            found.node.id
            for node in self.graph.ours()
            if node.kind == EXTEND and (found := before(self.graph, node)).node is not None
        }
        ends = [node for node in self.graph.ours() if node.id not in continued]
        names = [name if len(ends) == 1 else safe_name(f"{name}-{node.id}") for node in ends]
        return [self._film(node, film) for node, film in zip(ends, names, strict=True)]

    def _film(self, end: Node, name: str) -> Film:
        nodes, joined = [end], [Before(None)]
        while nodes[0].kind == EXTEND:
            found = before(self.graph, nodes[0])
            joined.insert(1, found)
            if found.node is None:
                break
            nodes.insert(0, found.node)
        chunks = tuple(self._chunk(node) for node in nodes)
        fields = {"name": name, **self._source(nodes[0]), **self._shape(chunks)}
        return Film(chunks, {**fields, **self._sound(chunks, joined)})

    def _chunk(self, node: Node) -> NodeChunk:
        if node.id not in self.read:
            self.read[node.id] = chunk_of(self.graph, node, self.comfyui, self.gaps)
        return self.read[node.id]

    def _source(self, first: Node) -> dict[str, Any]:
        """What an Extend at the head of a film continues."""
        if first.kind == GENERATE:
            return {}
        found = before(self.graph, first)
        if found.file is not None:
            value = literal(self.graph, self.graph.of(found.file).inputs.get("latent"))
            if value is not None:
                return {"source": {"latent": media_file(value, self.comfyui)}}
        link = first.link("latent")
        what = "nothing" if link is None else self.graph.of(link).shown
        reason = (
            "has no counterpart: save the latents (Save Latent) and name the file as `source: {latent: ...}`"
        )
        self.gaps.note(first.place("latent"), what, reason)
        return {}

    def _shape(self, chunks: Sequence[NodeChunk]) -> dict[str, Any]:
        first = chunks[0].values
        for chunk in chunks[1:]:
            if chunk.values["frame_rate"] != first["frame_rate"]:
                reason = f"a film has one rate: {first['frame_rate']} stands"
                place = chunk.node.place("frame_rate")
                self.gaps.note(place, str(chunk.values["frame_rate"]), reason)
        return {name: first[name] for name in SHAPE if name in first}

    def _sound(self, chunks: Sequence[NodeChunk], joined: Sequence[Before]) -> dict[str, Any]:
        """A soundtrack that every node hears, or sound that the first makes and all go on with."""
        heard = [chunk.node.link("audio") for chunk in chunks]
        if any(link is not None for link in heard):
            return self._soundtrack(chunks)
        if chunks[0].node.link("audio_vae") is None:
            return {}
        for chunk, found in zip(chunks[1:], joined[1:], strict=True):
            if not found.sound:
                reason = (
                    "goes on without the sound that Generate made: a film of the farm has it to its end. "
                    "LTXV Concat AV Latent joins both latents in front of it"
                )
                self.gaps.note(chunk.node.place("latent"), chunk.node.shown, reason)
        return {"sound": [{"generate": True}]}

    def _soundtrack(self, chunks: Sequence[NodeChunk]) -> dict[str, Any]:
        files = []
        for chunk in chunks:
            link = chunk.node.link("audio")
            source = None if link is None else self.graph.of(link)
            value = None if source is None else literal(self.graph, source.inputs.get("audio"))
            known = source is not None and source.kind == "LoadAudio" and value is not None
            files.append(media_file(value, self.comfyui) if known else None)
            if files[-1] is None or files[-1] != files[0]:
                what = "nothing" if source is None else source.shown
                reason = "every chunk of a film hears one file (Load Audio): name it in `sound`"
                self.gaps.note(chunk.node.place("audio"), what, reason)
        return {"sound": [{"file": files[0], "mode": "condition"}]} if files[0] else {}
