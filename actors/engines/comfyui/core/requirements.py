"""What this project asks of a ComfyUI core, by feature. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.errors import MissingCoreApi


@dataclass(frozen=True, slots=True)
class Api:
    """A node, by its id, or a dotted function, as this project calls it: how many values by position, then
    these inputs by name."""

    name: str
    inputs: tuple[str, ...] = ()
    positional: int = 0

    @property
    def is_node(self) -> bool:
        return "." not in self.name


@dataclass(frozen=True, slots=True)
class Feature:
    """What one feature calls, and the versions that have all of it.

    `broken` has versions that have all of it and cannot do it all the same, each with what happens there.
    """

    apis: tuple[Api, ...]
    since: str
    without: str
    broken: Mapping[str, str] = field(default_factory=dict)


GUIDERS = "guiders"
"""The feature of core's own guiders for LTX-2."""

FEATURES: Mapping[str, Feature] = {
    "sampling": Feature(
        apis=(
            Api("EmptyLTXVLatentVideo", ("width", "height", "length", "batch_size")),
            Api("LTXVConditioning", ("positive", "negative", "frame_rate")),
            Api("ModelSamplingLTXV", ("model", "max_shift", "base_shift", "latent")),
            Api("KSamplerSelect", ("sampler_name",)),
            Api("CFGGuider", ("model", "positive", "negative", "cfg")),
            Api("RandomNoise", ("noise_seed",)),
            Api("SamplerCustomAdvanced", ("noise", "guider", "sampler", "sigmas", "latent_image")),
            Api("CLIPTextEncode", ("clip", "text")),
            Api("comfy.model_patcher.ModelPatcher.add_object_patch", positional=3),
            Api("comfy.model_management.unload_all_models"),
            Api("comfy.model_management.soft_empty_cache"),
            Api("comfy.samplers.calc_cond_batch", positional=5),
            Api("comfy.utils.load_torch_file", ("safe_load", "return_metadata"), positional=1),
            Api("comfy.sd.load_checkpoint_guess_config", ("output_vae", "output_clip"), positional=1),
            Api("comfy.sd.load_lora_for_models", positional=5),
            Api("comfy.sd.load_text_encoder_state_dicts", ("embedding_directory", "clip_type"), positional=1),
        ),
        since="0.3.64",
        without="nothing can be rendered",
    ),
    "guides": Feature(
        apis=(
            Api("LTXVPreprocess", ("image", "img_compression")),
            Api(
                "LTXVAddGuide",
                ("positive", "negative", "vae", "latent", "image", "frame_idx", "strength"),
            ),
            Api("comfy_extras.nodes_lt.LTXVAddGuide.append_keyframe", positional=8),
            Api("comfy.utils.common_upscale", positional=5),
        ),
        since="0.3.64",
        without="render text to video only, without images and without Extend",
    ),
    "upscale": Feature(
        apis=(
            Api("LTXVLatentUpsampler", ("samples", "upscale_model", "vae")),
            Api("LatentUpscaleModelLoader", ("model_name",)),
        ),
        since="0.8.0",
        without="leave `upscale` off",
    ),
    "ltx-2": Feature(
        apis=(Api("LTXVConcatAVLatent", ("video_latent", "audio_latent")),),
        since="0.8.0",
        without="use an LTX-Video model",
        broken={"0.29.0": "it fails on clips without sound, which second passes are"},
    ),
    "ltx-2.5": Feature(
        apis=(Api("comfy.text_encoders.lt.ltxav_gemma4_tokenizer", positional=1),),
        since="0.32.0",
        without="use an older model",
    ),
    "audio": Feature(
        apis=(
            Api("LTXVAudioVAELoader", ("ckpt_name",)),
            Api("LTXVAudioVAEEncode", ("audio", "audio_vae")),
            Api("LTXVAudioVAEDecode", ("samples", "audio_vae")),
            Api("LTXVEmptyLatentAudio", ("frames_number", "frame_rate", "batch_size", "audio_vae")),
            Api("LTXVConcatAVLatent", ("video_latent", "audio_latent")),
            Api("LTXVSeparateAVLatent", ("av_latent",)),
            Api("comfy.nested_tensor.NestedTensor", positional=1),
        ),
        since="0.8.0",
        without="render without audio",
    ),
    "stg": Feature(
        apis=(
            Api(
                "SkipLayerGuidanceDiT",
                ("model", "scale", "rescaling_scale", "start_percent", "end_percent", "double_layers"),
            ),
        ),
        since="0.3.64",
        without="use the guider `cfg`",
    ),
    GUIDERS: Feature(
        apis=(
            Api("LTXVDualCFGGuider", ("model", "positive", "negative", "video_cfg", "audio_cfg")),
            Api("LTXVSpatioTemporalGuidance", ("model", "scale", "blocks", "start_percent", "end_percent")),
            Api("LTXVModalityGuidance", ("model", "modality_scale", "start_percent", "end_percent")),
        ),
        since="0.32.0",
        without="leave `audio_cfg` and `modality` out of guiders",
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
    return next((f for f in FEATURES.values() if any(api == one.name for one in f.apis)), None)


def missing_api(api: str, version: str) -> MissingCoreApi:
    """The error for one absent node or function: what, where, and which versions have it."""
    feature = feature_of(api)
    if feature is None:
        return MissingCoreApi(f"ComfyUI {version} has no {api}: update ComfyUI to 0.25 or later.")
    return MissingCoreApi(
        f"ComfyUI {version} has no {api}; versions {feature.since} and later have it: "
        f"update ComfyUI, or {feature.without}."
    )


def lacking(name: str, faults: Sequence[str], version: str) -> MissingCoreApi:
    """The error for a feature that this core cannot do."""
    return MissingCoreApi(f"ComfyUI {version}: {in_words(name, faults)}.")


def in_words(name: str, faults: Sequence[str]) -> str:
    """A feature in one line: complete, or what is wrong and the way out."""
    if not faults:
        return f"{name}: complete"
    feature = FEATURES[name]
    tested = f"versions from {feature.since} on were tested{_but(feature)}"
    return f"{name}: {'; '.join(faults)}; {tested}: use one of these, or {feature.without}"


def _but(feature: Feature) -> str:
    return f", all but {', '.join(feature.broken)} work" if feature.broken else ""
