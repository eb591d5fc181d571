"""Nodes to chunks: which Generate an Extend goes back to, and what a spec says of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from farm.nodes.tables import MAX_SEED
from farm.workflows.gaps import Effect, Gaps
from farm.workflows.graph import EXTEND, GENERATE, OURS, Graph, Link, Node
from farm.workflows.models import Engine, ModelReader
from farm.workflows.sampling import sampled
from farm.workflows.values import file_name, literal, media_file, settings_of
from jobs.spec.base import MAX_SEED as MOST_SEED

SAMPLING = ("steps", "max_shift", "base_shift", "attention_mode", "ffn_chunks", "crf", "image_strength")
FIELDS = {
    GENERATE: ("num_frames", *SAMPLING, "first_strength", "middle_strength", "last_strength"),
    EXTEND: ("num_new_frames", "overlap_frames", "overlap_strength", *SAMPLING, "last_strength"),
}
"""Fields of a chunk that are inputs of the same name."""
IMAGES = ("first_image", "middle_image", "last_image")
CONCAT, SEPARATE = "LTXVConcatAVLatent", "LTXVSeparateAVLatent"
FFMPEG = (
    "the farm conforms and compresses it with its own ffmpeg: the same bits only where `crf` is 0 and it has "
    "the clip's size"
)


@dataclass(frozen=True, slots=True)
class Before:
    """What an Extend continues: another node's latents (`None`: those of a file, or of something unknown),
    and whether their sound comes along."""

    node: Node | None
    file: Link | None = None
    sound: bool = False


@dataclass(frozen=True, slots=True)
class NodeChunk:
    """One node: its chunk of a spec, the size and rate of its film, models and second pass."""

    node: Node
    chunk: dict[str, Any]
    values: Mapping[str, Any]
    engine: Engine


def before(graph: Graph, node: Node) -> Before:
    """What stands in front of an Extend."""
    link, sound, separated = node.link("latent"), False, False
    while link is not None:
        source = graph.of(link)
        if source.kind in OURS and link.output == 0:
            own = source.kind == EXTEND and not separated and before(graph, source).sound
            return Before(source, sound=sound or own)
        if source.kind == CONCAT:
            heard = source.link("audio_latent")
            sound = heard is not None and heard.output == 2 and graph.of(heard).kind in OURS
            link = source.link("video_latent")
        elif source.kind == SEPARATE and link.output == 0:
            separated, link = True, source.link("av_latent")
        elif source.kind == "LoadLatent":
            return Before(None, link, sound)
        else:
            return Before(None, None, sound)
    return Before(None)


def chunk_of(graph: Graph, node: Node, comfyui: str | None, gaps: Gaps) -> NodeChunk:
    """The chunk of one node, and the models that it is made with."""
    values = settings_of(graph, node, gaps)
    how = sampled(graph, node, values["cfg"], gaps)
    fields: dict[str, Any] = {name: values[name] for name in FIELDS[node.kind]}
    fields |= how.settings
    fields["seed"] = _seed(node, values["seed"], gaps)
    fields |= _images(graph, node, comfyui, gaps)
    _require_links(node, how.guided, gaps)
    reader = ModelReader(graph, gaps)
    model, guidance = reader.model(how.guided, how.guided.link("model"))
    if how.audio_cfg is not None:
        guidance["audio_cfg"] = how.audio_cfg
    if guidance:
        fields["guider"] = {"name": "stg", "params": {"stg_scale": 0.0, "rescale": 0.0, **guidance}}
    transformer = model.get("checkpoint") or model.get("diffusion_model")
    engine = {
        **model,
        **reader.vae(node, node.link("vae"), model.get("checkpoint")),
        **reader.text_encoder(how.guided, how.clip, transformer),
        **reader.audio_vae(node),
    }
    kind = "generate" if node.kind == GENERATE else "extend"
    return NodeChunk(node, {kind: fields}, values, engine)


def _require_links(node: Node, guided: Node, gaps: Gaps) -> None:
    for holder, name in ((guided, "model"), (guided, "positive"), (guided, "negative"), (node, "vae")):
        if holder.link(name) is None:
            gaps.note(holder.place(name), "nothing", "is connected, and ComfyUI refuses it: connect it")


def _seed(node: Node, seed: int, gaps: Gaps) -> int:
    if seed <= MOST_SEED:
        return seed
    reason = f"seeds of a spec end at {MOST_SEED}: this one is taken modulo 2^63"
    gaps.note(node.place("seed"), str(min(seed, MAX_SEED)), reason)
    return seed % (MOST_SEED + 1)


def _images(graph: Graph, node: Node, comfyui: str | None, gaps: Gaps) -> dict[str, str]:
    found = {}
    for name in IMAGES:
        link = node.link(name)
        source = None if link is None else graph.of(link)
        if source is None:
            continue
        value = literal(graph, source.inputs.get("image"))
        if source.kind == "LoadImage" and value is not None:
            found[name] = media_file(value, comfyui)
            gaps.note(node.place(name), file_name(value), FFMPEG, Effect.BITS)
        else:
            reason = "has no counterpart: save what it makes as a file, and name that in the spec"
            gaps.note(node.place(name), source.shown, reason)
    return found
