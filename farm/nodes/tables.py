"""The input tables of the two nodes, in the order ComfyUI shows them."""

from __future__ import annotations

from typing import Any

Table = dict[str, tuple[Any, ...]]

CATEGORY = "rs-nodes"
MAX_SIZE = 16384
MAX_SEED = 0xFFFFFFFFFFFFFFFF


def number(
    default: int, minimum: int, maximum: int, step: int = 1, tip: str = ""
) -> tuple[str, dict[str, Any]]:
    return "INT", {"default": default, "min": minimum, "max": maximum, "step": step, "tooltip": tip}


def real(default: float, maximum: float, step: float = 0.01, tip: str = "") -> tuple[str, dict[str, Any]]:
    return "FLOAT", {"default": default, "min": 0.0, "max": maximum, "step": step, "tooltip": tip}


def switch(default: bool, tip: str) -> tuple[str, dict[str, Any]]:
    return "BOOLEAN", {"default": default, "tooltip": tip}


def strength(what: str) -> tuple[str, dict[str, Any]]:
    return real(1.0, 1.0, tip=f"How strongly {what} guides the clip.")


MODELS: Table = {
    "model": ("MODEL",),
    "positive": ("CONDITIONING",),
    "negative": ("CONDITIONING",),
    "vae": ("VAE",),
}
SAMPLING: Table = {
    "steps": number(20, 1, 10000, tip="Sampling steps."),
    "cfg": real(3.0, 100.0, 0.1, "Classifier-free guidance; 1 switches it off."),
    "seed": number(0, 0, MAX_SEED, tip="Same seed, same latents, on one kind of device."),
    "frame_rate": real(25.0, 1000.0, tip="Frames per second."),
}
IMAGE: Table = {
    "image_strength": real(0.95, 1.0, tip="Share of the noise kept away from guided frames."),
    "crf": number(35, 0, 51, tip="H.264 quality that guide images go through first; 0 is off."),
}
AUDIO: Table = {
    "audio": (
        "AUDIO",
        {"tooltip": "The film's soundtrack from its first frame; each clip hears its own part."},
    ),
    "audio_vae": ("VAE", {"tooltip": "Required with audio."}),
}
EFFICIENCY: Table = {
    "attention_mode": (
        ["auto", "default", "sage"],
        {"default": "auto", "tooltip": "auto measures once per device and size, and takes the fastest."},
    ),
    "ffn_chunks": number(0, 0, 16, tip="Split feed-forward layers to save memory: 0 is off, 2 to 16 pieces."),
}
FINISH: Table = {
    "upscale": switch(False, "Double width and height in latent space, then re-sample."),
    "upscale_model": ("LATENT_UPSCALE_MODEL", {"tooltip": "Required with upscale."}),
    "upscale_steps": number(10, 1, 10000, tip="Sampling steps after upscaling."),
    "upscale_cfg": real(3.0, 100.0, 0.1, "Classifier-free guidance after upscaling."),
    "upscale_denoise": real(0.5, 1.0, tip="How much of the noise schedule the re-sampling runs; 0 skips it."),
    "decode": switch(False, "Decode to images too."),
}
OVERRIDES: Table = {
    "guider": (
        "GUIDER",
        {"tooltip": "Replaces cfg and upscale_cfg; keeps its model and conditioning, receives the guides."},
    ),
    "sampler": ("SAMPLER", {"tooltip": "Replaces euler, in both passes."}),
    "sigmas": ("SIGMAS", {"tooltip": "Replaces steps, max_shift and base_shift of the first pass."}),
}
SCHEDULER: Table = {
    "max_shift": real(2.05, 100.0, tip="Shift at 4096 tokens; ignored with sigmas."),
    "base_shift": real(0.95, 100.0, tip="Shift at 1024 tokens; ignored with sigmas."),
}
AFTER_IMAGES: Table = {**AUDIO, **EFFICIENCY, **FINISH, **OVERRIDES, **SCHEDULER}


def with_defaults(node: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """`inputs` completed by the defaults of the node's optional inputs; an unconnected socket is None."""
    optional: Table = node.INPUT_TYPES()["optional"]
    defaults = {name: (entry[1] if len(entry) > 1 else {}).get("default") for name, entry in optional.items()}
    return {**defaults, **inputs}
