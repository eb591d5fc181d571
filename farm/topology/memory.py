"""How much device memory a job's stages need: model files by size, and a peak for the work beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.estimates.model_size import SMALL, WITH_SOUND, model_like
from farm.models.comfy_folders import find_model
from farm.topology.candidates import Footprint
from farm.topology.file_sizes import GIB
from farm.topology.model_sizes import ModelSizes, Streamed, model_sizes, sizes_known
from jobs.frames import TEMPORAL, frames_of, still_window
from jobs.planning.params import RECORDED_TOKENS, SMALL_TILES, DecodeParams, PassParams, Tiles
from jobs.planning.rounds.params import TileParams
from jobs.tasks.task import Stage, StageTask
from jobs.weights.use import TEXT_ENCODER, TRANSFORMER, denoises_pixels, folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from jobs.spec.engine import EngineConfig

Weights = Mapping[Stage, Mapping[str, float]]
"""The models of each stage and their sizes, GiB."""
RECORDED = "recorded forwards"
RUNTIME_GIB = 1.3
"""What a process holds on a device beside what its allocator has: the CUDA context and the libraries, 1.1 to
1.3 GiB on an H200."""
PASS_GIB_PER_TOKEN = 1.1e-4
"""Activations of one pass of the 13B model and of LTX-2, 2.1 GiB for the 19968 tokens of 97 frames at
1536x1024; half of that with 2B, which is half as wide (docs/gpu.md)."""
SMALL_WIDTH = 0.5
DECODE_GIB_PER_PIXEL = 1.15e-7
"""A decode takes 17.3 GiB for the 97 frames of 1536x1024 beside the VAE (docs/gpu.md)."""
DIFFUSION_DECODE = 1.32
"""Of LTX-2.5's second video VAE, whose tensors take 21.6 GiB for the same frames and 34.9 for 121 frames of
1920x1088 (docs/gpu.md)."""
LTX2_DECODE = 1.07
"""Of LTX-2's: 18.6 GiB for the same frames, so that no allocation fails."""

CORES_OWN = "ComfyUI's core may bring over what has no room piece by piece, which is not reckoned"

GATHERED_BYTES = 2 * 4 * 256 * 2 / 16
"""What a rank has more for each pixel of a frame where several share a decode of the diffusion decoder: what
it sends and the last of what it got, each four frames of the last stage, 256 channels of 16 bits with a
quarter of the rows and columns. All that it gets at a time takes the room of what its own part took."""
GATHERED_TILES_BYTES = 2 * 3
"""Of a decode in tiles, for each pixel of each frame of a tile that is kept."""


@dataclass(frozen=True, slots=True)
class Working:
    """Peaks beside the weights by stage, GiB, and that of the largest decode in tiles; and what each rank has
    more of a decode that several share, and of one in tiles."""

    gib: Mapping[Stage, float]
    tiled_decode_gib: float = 0.0
    recorded_gib: float = 0.0
    """What a worker that samples keeps of its short forwards."""
    gathered_gib: float = 0.0
    tiled_gathered_gib: float = 0.0


def engine_footprint(engine: EngineConfig, tasks: Iterable[StageTask], device_gib: float) -> Footprint | None:
    """The needs of an engine; None for the tiny model, and where the size of a model is unknown."""
    if not sizes_known(engine):
        return None
    footprint = footprint_of(model_sizes(engine), working_for(tasks, engine), device_gib)
    return replace(footprint, caveat=CORES_OWN) if engine.name == "comfyui" else footprint


def footprint_of(sizes: ModelSizes, working: Working, device_gib: float) -> Footprint:
    """Which models each stage keeps, and the peak beside them. A stage that does not fit even alone counts as
    it is done then: without recorded forwards, with its model streamed, or a decode in tiles, where these
    fit."""
    return _streaming(_whole_models(sizes, working, device_gib), sizes.streamed, working.gib)


def _streaming(whole: Footprint, streamed: Mapping[str, Streamed], stages: Iterable[Stage]) -> Footprint:
    """Where a stage does not fit even alone, recorded forwards go first: a worker without room for them does
    without. Models of what is still too large have their blocks in host memory."""

    def large(footprint: Footprint) -> list[Mapping[str, float]]:
        """The models of each stage that does not fit."""
        found = (stage for stage in stages if footprint.together_gib((stage,)) > footprint.device_gib)
        return [footprint.weights_gib.get(stage, {}) for stage in found]

    stages = tuple(stages)
    if any(RECORDED in models for models in large(whole)):
        whole = replace(whole, weights_gib=_without_recordings(whole.weights_gib))
    needed = {name for models in large(whole) for name in models if name in streamed}
    weights = {
        stage: {name: streamed[name].held if name in needed else size for name, size in models.items()}
        for stage, models in whole.weights_gib.items()
    }
    return replace(whole, weights_gib=weights, streamed={name: streamed[name].brought for name in needed})


def _without_recordings(weights_gib: Weights) -> Weights:
    return {
        stage: {name: size for name, size in models.items() if name != RECORDED}
        for stage, models in weights_gib.items()
    }


def _whole_models(sizes: ModelSizes, working: Working, device_gib: float) -> Footprint:
    vae, sound = {"vae": sizes.vae}, {"sound": sizes.sound} if sizes.sound else {}
    transformer = {TRANSFORMER: sizes.transformer, **sound}
    if working.recorded_gib:
        transformer[RECORDED] = working.recorded_gib
    weights = {
        Stage.ENCODE: {TEXT_ENCODER: sizes.text_encoder, **vae},
        Stage.SAMPLE: transformer,
        Stage.UPSCALE: {**transformer, **vae, "upsampler": sizes.upsampler},
        Stage.DECODE: {**vae, **sound},
    }
    whole_gib = sizes.vae + sizes.sound + working.gib.get(Stage.DECODE, 0.0)
    if not sizes.vae + sizes.sound + working.tiled_decode_gib <= device_gib < whole_gib:
        return Footprint(device_gib, weights, working.gib, gathered_gib=working.gathered_gib)
    tiled, gathered_gib = {**working.gib, Stage.DECODE: working.tiled_decode_gib}, working.tiled_gathered_gib
    return Footprint(device_gib, weights, tiled, whole_decode_gib=whole_gib, gathered_gib=gathered_gib)


def working_for(tasks: Iterable[StageTask], engine: EngineConfig) -> Working:
    """What the largest tasks of each stage take on this engine and model."""
    like = model_like(engine)
    width = SMALL_WIDTH if like == SMALL else 1.0
    batches, decode = engine.name != "comfyui" and like != WITH_SOUND, _decode_share(engine, like)
    gib: dict[Stage, float] = {}
    tiled_gib = recorded_gib = gathered_gib = tiled_gathered_gib = 0.0
    records = engine.name == "diffusers" and like == WITH_SOUND
    diffusion = decodes_by_diffusion(engine)
    for task in tasks:
        match task.params:
            case PassParams() | TileParams() as params:
                passes = 2 if batches and params.sampling.cfg != 1.0 else 1
                activations = PASS_GIB_PER_TOKEN * width * passes * params.tokens
                if records and params.tokens <= RECORDED_TOKENS:
                    recorded_gib = max(recorded_gib, activations)
                if isinstance(params, PassParams):
                    activations = max(activations, decode * _still_gib(params))
            case DecodeParams() as params:
                activations = decode * _decode_gib(params, params.tiling)
                tiles = decode * _decode_gib(params, params.tiling or SMALL_TILES)
                tiled_gib = max(tiled_gib, RUNTIME_GIB + tiles)
                gathered_gib = max(gathered_gib, _gathered_gib(params, params.tiling, diffusion))
                in_tiles_gib = _gathered_gib(params, params.tiling or SMALL_TILES, diffusion)
                tiled_gathered_gib = max(tiled_gathered_gib, in_tiles_gib)
            case _:
                activations = 0.0
        gib[task.stage] = max(gib.get(task.stage, 0.0), RUNTIME_GIB + activations)
    return Working(gib, tiled_gib, recorded_gib, gathered_gib, tiled_gathered_gib)


def _decode_share(engine: EngineConfig, like: str | None) -> float:
    """What its video VAE takes of a decode that LTX-Video's takes 1 of."""
    if decodes_by_diffusion(engine):
        return DIFFUSION_DECODE
    return LTX2_DECODE if like == WITH_SOUND else 1.0


def decodes_by_diffusion(engine: EngineConfig) -> bool:
    """Whether the job decodes with LTX-2.5's diffusion decoder, as far as its files are here."""
    vae = decoding_vae(engine)
    return vae is not None and denoises_pixels(vae)


def decoding_vae(engine: EngineConfig) -> Path | None:
    """The file or folder of the video VAE that the job decodes with: the one that is named, or else the
    checkpoint's; None where it is not here."""
    field = "vae" if engine.vae else "checkpoint"
    name = getattr(engine, field)
    path = find_model(engine, field, name) if name else None
    return folder_of(path, "vae") if path is not None else None


def _still_gib(params: PassParams) -> float:
    """Of the decode that a still takes, between two passes."""
    stills = params.excerpt.stills if params.excerpt else ()
    frames = max((frames_of(len(still_window(latent))) for latent in stills), default=0)
    return DECODE_GIB_PER_PIXEL * frames * params.width * params.height


def _decode_gib(params: DecodeParams, tiling: Tiles | None) -> float:
    clip = len(params.window.context)
    latents = min(clip, tiling.tile_latents) if tiling else clip
    return DECODE_GIB_PER_PIXEL * frames_of(latents) * params.width * params.height


def _gathered_gib(params: DecodeParams, tiling: Tiles | None, diffusion: bool) -> float:
    """What each rank has more where several share the decode; 0 where they do not."""
    pixels = params.width * params.height
    if not params.window.keep:
        return 0.0
    if tiling is None:
        return GATHERED_BYTES * pixels / GIB if diffusion else 0.0
    spans = tiling.spans(len(params.window.context))
    frames = TEMPORAL * max(len(kept) for _, kept in spans)
    return GATHERED_TILES_BYTES * frames * pixels / GIB if diffusion or len(spans) > 1 else 0.0
