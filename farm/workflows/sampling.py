"""How a node samples: prompts, guider, sampler and noise levels, its own or those connected to it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.workflows.graph import Graph, Link, Node
from farm.workflows.values import literal

if TYPE_CHECKING:
    from farm.workflows.gaps import Gaps

PASSED_THROUGH = ("LTXVConditioning",)
"""Nodes whose options of a conditioning ours set again."""
GUIDERS = {"CFGGuider": ("cfg",), "LTXVDualCFGGuider": ("video_cfg", "audio_cfg")}
"""Guiders, and their scales of the picture and of the sound."""
LEVEL = re.compile(r"[-+]?(?:\d*\.*\d+)")
"""As core's ManualSigmas reads its text."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """What a chunk is sampled with: `settings` are fields of a spec, `guided` the node that the model and the
    prompts are connected to, `clip` what reads the prompts, `audio_cfg` a scale of the sound's own."""

    settings: Mapping[str, Any]
    guided: Node
    clip: Link | None
    audio_cfg: float | None = None


def sampled(graph: Graph, node: Node, cfg: float, gaps: Gaps) -> Sampled:
    """Of one of our nodes; `cfg` is its own."""
    guided, scale, audio_cfg = _guider(graph, node, cfg, gaps)
    prompts, clips = {}, []
    for side, field in (("positive", "prompt"), ("negative", "negative")):
        text, clip = _prompt(graph, guided, side, gaps)
        if text is not None:
            prompts[field] = text
        clips.append(clip)
    settings = {**prompts, "cfg": scale, **_sampler(graph, node, gaps), **_sigmas(graph, node, gaps)}
    return Sampled(settings, guided, clips[0] or clips[1], audio_cfg)


def _guider(graph: Graph, node: Node, cfg: float, gaps: Gaps) -> tuple[Node, float, float | None]:
    """The node with model and prompts, and the scales; an external guider brings its own."""
    link = node.link("guider")
    if link is None:
        return node, cfg, None
    guider = graph.of(link)
    scale, *others = (literal(graph, guider.inputs.get(name)) for name in GUIDERS.get(guider.kind, ("",)))
    if scale is not None:
        return guider, scale, others[0] if others else None
    reason = "has no counterpart: write `guider` in the spec, or take it off"
    gaps.note(node.place("guider"), guider.shown, reason)
    return node, cfg, None


def _prompt(graph: Graph, node: Node, side: str, gaps: Gaps) -> tuple[str | None, Link | None]:
    """The text, and the text encoder that reads it; None where they are not known."""
    link = node.link(side)
    while link is not None:
        source = graph.of(link)
        if source.kind in PASSED_THROUGH:
            link = source.link(("positive", "negative")[min(link.output, 1)])
            continue
        fields = {"CLIPTextEncode": ("text", "text"), "RSLTXVTinyPrompt": ("prompt", "negative")}
        if source.kind in fields:
            text = literal(graph, source.inputs.get(fields[source.kind][min(link.output, 1)], ""))
            if text or (text is not None and side == "negative"):
                return str(text), source.link("clip")
        what = "an empty prompt" if source.kind in fields else "has no counterpart"
        gaps.note(node.place(side), source.shown, f"{what}: write the prompt into the spec")
        return None, source.link("clip")
    return None, None


def _sampler(graph: Graph, node: Node, gaps: Gaps) -> dict[str, Any]:
    link = node.link("sampler")
    if link is None:
        return {}
    source = graph.of(link)
    name = literal(graph, source.inputs.get("sampler_name"))
    if source.kind == "KSamplerSelect" and name is not None:
        return {"sampler": name}
    reason = "has no counterpart: name a sampler as `sampler`; euler stands"
    gaps.note(node.place("sampler"), source.shown, reason)
    return {}


def _sigmas(graph: Graph, node: Node, gaps: Gaps) -> dict[str, Any]:
    link = node.link("sigmas")
    if link is None:
        return {}
    source = graph.of(link)
    text = literal(graph, source.inputs.get("sigmas"))
    if source.kind == "ManualSigmas" and isinstance(text, str):
        return {"sigmas": [float(level) for level in LEVEL.findall(text)]}
    reason = "has no counterpart: write its noise levels as `sigmas`; the node's `steps` stand"
    gaps.note(node.place("sigmas"), source.shown, reason)
    return {}
