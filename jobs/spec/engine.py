"""The `engine` section: which program renders, and which model files it loads."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from jobs.spec.base import InputPath, Many, Model, ModelRef

EngineName = Literal["diffusers", "comfyui", "fake"]


class Lora(Model):
    """One LoRA, applied on top of the diffusion model."""

    path: ModelRef = Field(description="LoRA weights (`.safetensors`).")
    strength: float = Field(1.0, ge=-10.0, le=10.0, description="Weight of the LoRA; 0 switches it off.")


class FakeConfig(Model):
    """Durations of the fake engine, which computes deterministic patterns instead of a model."""

    encode_s: float = Field(0.0, ge=0.0, le=3600.0, description="Seconds per encode task.")
    sample_s: float = Field(0.0, ge=0.0, le=3600.0, description="Seconds per sample task.")
    upscale_s: float = Field(0.0, ge=0.0, le=3600.0, description="Seconds per upscale task.")
    decode_s: float = Field(0.0, ge=0.0, le=3600.0, description="Seconds per decode task.")
    faults: InputPath | None = Field(
        None,
        description="JSON script of failures to act out, for drills and tests (`actors/engines/faults.py`).",
    )


class EngineConfig(Model):
    """Which program renders, and which model files it loads.

    Model files are paths relative to the spec; `diffusers` also takes a hub id, `comfyui` also a name in
    ComfyUI's own model folders.
    """

    name: EngineName = Field(
        "diffusers",
        description="`diffusers`, `comfyui` (ComfyUI's core, in-process), or `fake` for dry runs.",
    )
    checkpoint: ModelRef | None = Field(
        None, description="Checkpoint file or folder, or hub id. Left out: the bundled tiny model."
    )
    diffusion_model: ModelRef | None = Field(
        None, description="Diffusion model alone, for checkpoints that come in parts (comfyui)."
    )
    vae: ModelRef | None = Field(None, description="Video VAE alone, where the checkpoint has none.")
    text_encoder: ModelRef | None = Field(
        None,
        description="Text encoder, where the checkpoint has none: a file with comfyui; with diffusers a "
        "folder or hub id that holds `text_encoder/` and `tokenizer/`.",
    )
    loras: Many[Lora] = Field((), description="LoRAs, applied in this order.")
    upscale_model: ModelRef | None = Field(
        None, description="2x latent upsampler of the upscale stage. The bundled tiny model has its own."
    )
    audio_vae: ModelRef | None = Field(
        None, description="Audio VAE (comfyui): needed when audio is generated or conditions the video."
    )
    comfyui: InputPath | None = Field(
        None, description="Folder of ComfyUI. Left out: the environment variable COMFYUI_PATH."
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="Number type of the diffusion model; `auto`: bfloat16 on a GPU, float32 on a CPU."
    )
    allow_pickle: bool = Field(
        False, description="Load pickled weights (`.pt`, `.ckpt`), which can run code. Needs --allow-pickle."
    )
    fake: FakeConfig = Field(FakeConfig(), description="Durations of the fake engine.")
