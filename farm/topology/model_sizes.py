"""How much memory a job's models take on the engine that holds them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as filled
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from farm.topology.file_sizes import Parts, gib, parts_of
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER

if TYPE_CHECKING:
    from jobs.recipes.recipe import Part
    from jobs.spec.engine import EngineConfig

FP8_SHARE = 0.51
"""Of a transformer in 16 bits, once the layers of its blocks are in fp8 with a scale for each channel."""
SOUND_BYTES = 4
"""Of a parameter of the audio VAE and the vocoder, which the diffusers engine holds in 32 bits."""
STREAMED_SHARE: Mapping[str, float] = MappingProxyType({TEXT_ENCODER: 0.11, TRANSFORMER: 0.06})
"""Of a model's parameters, at most what is on the device where its blocks come over one by one: one block,
and all outside of them, as Gemma's embeddings. 6.8 to 10.9 % of the published text encoders, 3.2 to 5.7 % of
the transformers."""
FIELDS = (
    "checkpoint",
    "diffusion_model",
    "vae",
    "audio_vae",
    "upscale_model",
    "temporal_upscale_model",
)


@dataclass(frozen=True, slots=True)
class Streamed:
    """GiB of a model whose blocks stay in host memory: what it takes of the device, and what comes over for
    each forward."""

    held: float
    brought: float


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """GiB of each model's weights, LoRAs counted with the transformer; 0 for one that there is not."""

    transformer: float
    vae: float
    text_encoder: float = 0.0
    upsampler: float = 0.0
    sound: float = 0.0
    """Audio VAE and vocoder, where they are counted apart."""
    streamed: Mapping[str, Streamed] = filled(default_factory=dict)
    """By model, what it is where it is streamed; empty where the engine streams by itself."""


def model_sizes(engine: EngineConfig) -> ModelSizes:
    """Of models whose sizes are known. The diffusers engine holds them in its own number type, whatever that
    of a file is; ComfyUI's core as they are stored, and the connectors with the transformer."""
    models = {each: parts_of(engine, *each) or {} for each in named_models(engine)}

    def of(*fields: str) -> list[Parts]:
        """Those of the first field that is there."""
        found = ([parts for (field, _), parts in models.items() if field == each] for each in fields)
        return next(filter(None, found), [])

    held = value_bytes(engine)
    connectors: tuple[Part, ...] = ("connectors",)
    with_transformer, with_text = ((), connectors) if held else (connectors, ())
    share = FP8_SHARE if engine.name == "diffusers" and engine.dtype == "fp8" else 1.0
    denoiser = gib(of("diffusion_model", "checkpoint"), "transformer", *with_transformer, value_bytes=held)
    encoders = of("text_encoder", "checkpoint")
    encoder = gib(encoders[:1] if held else encoders, "text_encoder", value_bytes=held)
    context = gib(_context(engine, models), "projection", *with_text, value_bytes=held)
    upsamplers = [*of("upscale_model"), *of("temporal_upscale_model")]
    return ModelSizes(
        transformer=share * denoiser + gib(of("loras"), "lora", value_bytes=held),
        vae=gib(of("vae", "checkpoint", "diffusion_model"), "vae", value_bytes=held),
        text_encoder=encoder + context,
        upsampler=gib(upsamplers, "upsampler", value_bytes=held),
        sound=gib(
            of("audio_vae", "checkpoint", "diffusion_model"), "sound", value_bytes=held and SOUND_BYTES
        ),
        streamed=_streamed(encoder, context, denoiser, share) if engine.name == "diffusers" else {},
    )


def _streamed(encoder: float, context: float, denoiser: float, share: float) -> dict[str, Streamed]:
    """What makes the context of an encoder's states is on the device as a whole. Only blocks are in fp8.
    LoRAs take nothing there but while the device merges them, one weight at a time."""
    of_text, of_transformer = (
        STREAMED_SHARE[name] * size for name, size in ((TEXT_ENCODER, encoder), (TRANSFORMER, denoiser))
    )
    return {
        TEXT_ENCODER: Streamed(of_text + context, encoder - of_text),
        TRANSFORMER: Streamed(of_transformer, share * denoiser - of_transformer),
    }


def value_bytes(engine: EngineConfig) -> int | None:
    """Of a parameter, as the engine holds most models; None: as they are stored."""
    if engine.name != "diffusers":
        return None
    return 4 if engine.dtype == "float32" else 2


def _context(engine: EngineConfig, models: dict[tuple[str, str], Parts]) -> list[Parts]:
    """What makes the context of LTX-2 out of a text encoder's states, as the engine finds it: the
    checkpoint's `connectors` folder, or else what the transformer's file and those of the text encoder have
    of it."""
    model = "diffusion_model" if engine.diffusion_model else "checkpoint"
    if engine.checkpoint and (Path(engine.checkpoint) / "connectors").is_dir():
        return [models["checkpoint", engine.checkpoint]]
    files = {name: parts for (field, name), parts in models.items() if field == "text_encoder"}
    files |= {name: parts for (field, name), parts in models.items() if field == model}
    return list(files.values())


def sizes_known(engine: EngineConfig) -> bool:
    """Whether the engine has models that may not fit, and the size of each is known."""
    return _has_models(engine) and not unknown_sizes(engine)


def unknown_sizes(engine: EngineConfig) -> tuple[str, ...]:
    """Models of the job that are not on this machine, or not where they are looked for, and in no recipe."""
    if not _has_models(engine):
        return ()
    return tuple(name for field, name in named_models(engine) if parts_of(engine, field, name) is None)


def _has_models(engine: EngineConfig) -> bool:
    return engine.name != "fake" and bool(engine.checkpoint or engine.diffusion_model)


def named_models(engine: EngineConfig) -> Iterator[tuple[str, str]]:
    """Every model whose size counts: the field that names it, and the name."""
    for field in FIELDS:
        name = getattr(engine, field)
        if name is not None:
            yield field, name
    yield from (("text_encoder", name) for name in engine.text_encoders)
    yield from (("loras", lora.path) for lora in engine.loras)
