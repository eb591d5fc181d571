"""The `engine` section of a job from the loaders in front of a node."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from farm.nodes.install import TINY_NAME, TINY_UPSCALER_NAME
from farm.workflows.gaps import Effect, Gaps
from farm.workflows.values import file_name, literal
from jobs.places import shown

if TYPE_CHECKING:
    from farm.workflows.graph import Graph, Link, Node

CHECKPOINT = "CheckpointLoaderSimple"
LORAS = ("LoraLoader", "LoraLoaderModelOnly")
REPLACED = ("ModelSamplingLTXV",)
"""Nodes whose patch of a model ours replace with their own."""
BUNDLED = {"checkpoint": TINY_NAME, "upscale_model": TINY_UPSCALER_NAME, "audio_vae": TINY_NAME}
"""The tiny model's files, which a job has without naming them."""

GUIDANCE = {
    "LTXVModalityGuidance": (("modality_scale", "modality"),),
    "LTXVSpatioTemporalGuidance": (("scale", "stg_scale"), ("blocks", "blocks")),
}
"""By node that guides a model of picture and sound: its inputs, and parameters of the guider `stg`."""

Engine = dict[str, Any]
Guidance = dict[str, Any]


class ModelReader:
    """Follows links to loaders and says what they load; what it meets on the way goes to the gaps."""

    def __init__(self, graph: Graph, gaps: Gaps) -> None:
        self.graph = graph
        self.gaps = gaps

    def model(self, user: Node, link: Link | None) -> tuple[Engine, Guidance]:
        """The transformer's file and its LoRAs, the first applied first; and what its guidance nodes say."""
        loras: list[dict[str, Any]] = []
        guidance: Guidance = {}
        file: Engine = {}
        while link is not None and not file:
            node = self.graph.of(link)
            if node.kind == CHECKPOINT:
                file = {"checkpoint": self._name(node, "ckpt_name")}
            elif node.kind == "UNETLoader":
                self._refuse_other(node, "weight_dtype", "default", "write it as `engine.dtype`")
                file = {"diffusion_model": self._name(node, "unet_name")}
            elif node.kind in LORAS:
                loras.insert(0, self._lora(node))
            elif node.kind in GUIDANCE:
                guidance |= self._guidance(node)
            elif node.kind not in REPLACED:
                self._unknown(user, "model", node, "the model is sampled without it")
            link = node.link("model")
        return {**file, **({"loras": loras} if loras else {})}, guidance

    def _guidance(self, node: Node) -> Guidance:
        for name, wanted in (("start_percent", 0.0), ("end_percent", 1.0)):
            self._refuse_other(node, name, wanted, "a spec guides every step, or `levels` with diffusers")
        params = {param: literal(self.graph, node.inputs.get(name)) for name, param in GUIDANCE[node.kind]}
        if isinstance(params.get("blocks"), str):
            params["blocks"] = [int(block) for block in re.findall(r"\d+", params["blocks"])]
        return {param: value for param, value in params.items() if value is not None}

    def _lora(self, node: Node) -> dict[str, Any]:
        if node.kind == "LoraLoader" and literal(self.graph, node.inputs.get("strength_clip")) != 0:
            reason = "keys of the file that are for a text encoder are not used; LoRAs for LTX have none"
            self.gaps.note(node.place("strength_clip"), self._name(node, "lora_name"), reason, Effect.BITS)
        strength = literal(self.graph, node.inputs.get("strength_model"))
        return {"path": self._name(node, "lora_name"), "strength": 1.0 if strength is None else strength}

    def vae(self, user: Node, link: Link | None, checkpoint: str | None) -> Engine:
        """The video VAE, where it is not the checkpoint's own."""
        if link is None:
            return {}
        node = self.graph.of(link)
        if node.kind == CHECKPOINT:
            name = self._name(node, "ckpt_name")
            return {} if name == checkpoint else {"vae": name}
        if node.kind == "VAELoader":
            return {"vae": self._name(node, "vae_name")}
        return self._unknown(user, "vae", node, "name its file as `engine.vae`")

    def text_encoder(self, user: Node, link: Link | None, transformer: str | None) -> Engine:
        """The text encoder's files; the projection that the transformer's file holds is found there."""
        node = None if link is None else self.graph.of(link)
        while node is not None and node.kind == "LoraLoader":
            link = node.link("clip")
            node = None if link is None else self.graph.of(link)
        if node is None:
            return {}
        if node.kind == "CLIPLoader":
            self._refuse_other(node, "type", "ltxv", "choose `ltxv`")
            return {"text_encoder": self._name(node, "clip_name")}
        if node.kind == "DualCLIPLoader":
            self._refuse_other(node, "type", "ltxv", "choose `ltxv`")
            return {"text_encoder": [self._name(node, name) for name in ("clip_name1", "clip_name2")]}
        if node.kind == "LTXAVTextEncoderLoader":
            encoder, projection = self._name(node, "text_encoder"), self._name(node, "ckpt_name")
            return {"text_encoder": encoder if projection == transformer else [encoder, projection]}
        return self._unknown(user, "clip", node, "name its file as `engine.text_encoder`")

    def upscale_model(self, user: Node) -> Engine:
        return self._single(user, "upscale_model", {"LatentUpscaleModelLoader": "model_name"})

    def audio_vae(self, user: Node) -> Engine:
        return self._single(user, "audio_vae", {"LTXVAudioVAELoader": "ckpt_name", "VAELoader": "vae_name"})

    def _single(self, user: Node, field: str, loaders: dict[str, str]) -> Engine:
        link = user.link(field)
        node = None if link is None else self.graph.of(link)
        if node is None:
            return {}
        if node.kind in loaders:
            return {field: self._name(node, loaders[node.kind])}
        return self._unknown(user, field, node, f"name its file as `engine.{field}`")

    def _name(self, node: Node, field: str) -> str:
        return file_name(literal(self.graph, node.inputs.get(field, "")))

    def _refuse_other(self, node: Node, field: str, wanted: str | float, remedy: str) -> None:
        value = literal(self.graph, node.inputs.get(field, wanted))
        if value != wanted:
            self.gaps.note(node.place(field), shown(value), f"the farm has {shown(wanted)} alone: {remedy}")

    def _unknown(self, user: Node, field: str, node: Node, remedy: str) -> Engine:
        self.gaps.note(user.place(field), node.shown, f"has no counterpart: {remedy}")
        return {}


def without_bundled(engine: Engine) -> Engine:
    """The section without what the farm has itself."""
    return {field: value for field, value in engine.items() if BUNDLED.get(field) != value}
