"""What this project asks of a ComfyUI core, by feature. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.errors import MissingCoreApi


@dataclass(frozen=True, slots=True)
class Feature:
    """Node ids and dotted functions one feature needs, and the versions that have all of them."""

    nodes: tuple[str, ...]
    functions: tuple[str, ...]
    since: str
    without: str


FEATURES: dict[str, Feature] = {
    "sampling": Feature(
        nodes=(
            "EmptyLTXVLatentVideo",
            "LTXVConditioning",
            "ModelSamplingLTXV",
            "KSamplerSelect",
            "CFGGuider",
            "RandomNoise",
            "SamplerCustomAdvanced",
        ),
        functions=(
            "comfy.model_patcher.ModelPatcher.add_object_patch",
            "comfy.model_management.unload_all_models",
            "comfy.model_management.soft_empty_cache",
            "comfy.samplers.calc_cond_batch",
        ),
        since="0.3.64",
        without="nothing can be rendered",
    ),
    "guides": Feature(
        nodes=("LTXVPreprocess", "LTXVAddGuide"),
        functions=("comfy_extras.nodes_lt.LTXVAddGuide.append_keyframe", "comfy.utils.common_upscale"),
        since="0.3.64",
        without="render text to video only, without images and without Extend",
    ),
    "upscale": Feature(
        nodes=("LTXVLatentUpsampler", "LatentUpscaleModelLoader"),
        functions=("comfy.ldm.lightricks.latent_upsampler.LatentUpsampler.from_config",),
        since="0.8.0",
        without="leave `upscale` off",
    ),
    "audio": Feature(
        nodes=(
            "LTXVAudioVAELoader",
            "LTXVAudioVAEEncode",
            "LTXVAudioVAEDecode",
            "LTXVEmptyLatentAudio",
            "LTXVConcatAVLatent",
            "LTXVSeparateAVLatent",
        ),
        functions=("comfy.nested_tensor.NestedTensor",),
        since="0.8.0",
        without="render without audio",
    ),
    "stg": Feature(
        nodes=("SkipLayerGuidanceDiT",), functions=(), since="0.3.64", without="use the guider `cfg`"
    ),
}

MODEL_FOLDERS: dict[str, tuple[str, ...]] = {
    "checkpoint": ("checkpoints",),
    "diffusion_model": ("diffusion_models", "checkpoints"),
    "vae": ("vae", "checkpoints"),
    "text_encoder": ("text_encoders",),
    "upscale_model": ("latent_upscale_models",),
    "audio_vae": ("checkpoints", "vae"),
    "loras": ("loras",),
}
"""By field of the spec's `engine` section, the kinds of ComfyUI's model folders where a name is looked up."""


def feature_of(api: str) -> Feature | None:
    """The feature that needs a node id or dotted function, None for one the farm never asks for."""
    return next((f for f in FEATURES.values() if api in f.nodes or api in f.functions), None)


def missing_api(api: str, version: str) -> MissingCoreApi:
    """The error for one absent node or function: what, where, and which versions have it."""
    feature = feature_of(api)
    if feature is None:
        return MissingCoreApi(f"ComfyUI {version} has no {api}: update ComfyUI to 0.25 or later.")
    return MissingCoreApi(
        f"ComfyUI {version} has no {api}; versions {feature.since} and later have it: "
        f"update ComfyUI, or {feature.without}."
    )
