"""The `engine` section: which program renders, and which model files it loads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import AfterValidator, Discriminator, Field, PrivateAttr, Tag

from jobs.spec.base import InputPath, Many, Model, ModelRef, refusal

COMFYUI_PATH = "COMFYUI_PATH"

EngineName = Literal["diffusers", "comfyui", "fake"]


@dataclass(frozen=True, slots=True)
class Code:
    """What lets files run as code. It comes from the command line, from Python or from the environment, never
    from a spec: `comfyui` is the folder of a ComfyUI checkout (None: the one in COMFYUI_PATH, on each machine
    its own), `allow_pickle` lets pickled weights be loaded."""

    comfyui: str | None = None
    allow_pickle: bool = False


NO_CODE = Code()


Weight = Annotated[float, Field(ge=-10.0, le=10.0)]


Which = Literal["sample", "upscale", "rounds"]
"""The passes whose LoRAs may have weights of their own."""


class PassStrengths(Model):
    """The weight of a LoRA in each pass."""

    sample: Weight = Field(0.0, description="Weight in the first pass.")
    upscale: Weight = Field(0.0, description="Weight in the second pass.")
    rounds: Weight | None = Field(
        None,
        description="Weight in temporal rounds (`upscale.temporal`); left out: that of the second pass. An "
        "IC-LoRA of the second pass has 0 here: rounds show it no reference.",
    )

    def of(self, which: Which) -> float:
        """The weight in one pass."""
        if which == "rounds" and self.rounds is None:
            return self.upscale
        weight: float = getattr(self, which)
        return weight


def _number_or_passes(value: Any) -> str:
    return "passes" if isinstance(value, dict | PassStrengths) else "number"


class Lora(Model):
    """One LoRA, applied on top of the diffusion model."""

    path: ModelRef = Field(description="LoRA weights (`.safetensors`).")
    strength: Annotated[
        Annotated[Weight, Tag("number")] | Annotated[PassStrengths, Tag("passes")],
        Discriminator(_number_or_passes),
    ] = Field(
        1.0,
        description="Weight of the LoRA; 0 switches it off. `{sample, upscale, rounds}` gives each pass its "
        "own. A pass that is left out has none of it, and rounds have that of the second pass.",
    )

    @property
    def strengths(self) -> PassStrengths:
        """Its weight in each pass."""
        both = self.strength
        return both if isinstance(both, PassStrengths) else PassStrengths(sample=both, upscale=both)


class ShotLora(Lora):
    """One LoRA of a shot."""

    path: InputPath = Field(description="LoRA weights (`.safetensors`), a file.")


class LoraUse(NamedTuple):
    """A LoRA file in one pass, and how strongly it counts."""

    path: str
    strength: float


def own_loras(loras: Iterable[ShotLora], which: Which, engine: EngineConfig) -> tuple[LoraUse, ...]:
    """Those of a shot that count in a pass, and with strength 0 those that it takes out of the engine's."""
    uses = (LoraUse(lora.path, lora.strengths.of(which)) for lora in loras)
    always = {lora.path for lora in engine.loras}
    return tuple(use for use in uses if use.strength or use.path in always)


def merged_loras(
    always: Iterable[tuple[str, PassStrengths]], which: Which, own: Sequence[LoraUse]
) -> tuple[LoraUse, ...]:
    """What is in the weights in a pass, in this order: of the LoRAs of the whole job those that the shot has
    not among its `own`, then these; without those of strength 0."""
    named = {use.path for use in own}
    others = (LoraUse(path, each.of(which)) for path, each in always if path not in named)
    return tuple(use for use in (*others, *own) if use.strength)


def _each_once(loras: tuple[ShotLora, ...]) -> tuple[ShotLora, ...]:
    if len({each.path for each in loras}) == len(loras):
        return loras
    raise refusal("each LoRA once", "leave one of the two out, or add their strengths")


MAX_LORAS = 100
ShotLoras = Annotated[Many[ShotLora], Field(max_length=MAX_LORAS), AfterValidator(_each_once)]
LORAS = (
    "LoRAs of this shot alone, each `{path, strength}`, on top of `engine.loras` and behind them. One that "
    "stands there, too, counts here as this says: 0 switches it off."
)


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
        None, description="Diffusion model alone, for checkpoints that come in parts; its VAE is `vae`."
    )
    vae: ModelRef | None = Field(None, description="Video VAE alone, where the checkpoint has none.")
    text_encoder: ModelRef | Many[ModelRef] | None = Field(
        None,
        description="Text encoder, where the checkpoint has none: with comfyui a file, or a list where the "
        "projection is a file of its own; with diffusers a folder or hub id that holds `text_encoder/` and "
        "`tokenizer/`, or Gemma's own (LTX-2), and behind it a file with the projection where the checkpoint "
        "has none.",
    )
    loras: Many[Lora] = Field(
        (), max_length=MAX_LORAS, description="LoRAs of every shot, applied in this order."
    )
    upscale_model: ModelRef | None = Field(
        None, description="Latent upsampler of the upscale stage. The bundled tiny model has its own."
    )
    temporal_upscale_model: ModelRef | None = Field(
        None,
        description="Latent upsampler in time, a file or a folder, for temporal rounds (`upscale.temporal`).",
    )
    audio_vae: ModelRef | None = Field(
        None,
        description="Audio VAE with its vocoder, for sound that is generated or conditions the video: "
        "with comfyui always, with diffusers where the checkpoint has none.",
    )
    dtype: Literal["auto", "float32", "bfloat16", "float16", "fp8"] = Field(
        "auto",
        description="Number type of the diffusion model; `auto`: bfloat16 on a GPU, float32 on a CPU. `fp8` "
        "(diffusers): weights and products of the blocks in float8_e4m3fn, half the memory and faster, with "
        "other numbers.",
    )
    fake: FakeConfig = Field(FakeConfig(), description="Durations of the fake engine.")
    _code: Code = PrivateAttr(NO_CODE)
    """No input reaches a private attribute and no document holds one; it goes to workers with the section."""

    @property
    def text_encoders(self) -> tuple[str, ...]:
        """The text encoder's files, folder or hub id; empty where the checkpoint has its own."""
        named = self.text_encoder
        return (named,) if isinstance(named, str) else named or ()

    @property
    def comfyui(self) -> str | None:
        """The folder of ComfyUI: the one that was named, else that of this machine's environment."""
        return self._code.comfyui or os.environ.get(COMFYUI_PATH)

    @property
    def allow_pickle(self) -> bool:
        """Whether pickled weights may be loaded."""
        return self._code.allow_pickle

    def with_code(self, code: Code) -> EngineConfig:
        """The section with what the caller lets run."""
        section = self.model_copy()
        section._code = code
        return section
