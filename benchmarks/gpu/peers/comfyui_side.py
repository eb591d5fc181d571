"""ComfyUI's own nodes: the graph of its template `video_ltx2_3_t2v`, by its own server.

Kept are its nodes, their order and their settings. The distilled checkpoint takes the place of the dev one in
fp8 with its distilled LoRA, ready words that of the text encoder, and numbers that of the nodes that only
reckon. The nodes of a first image are left out, which the template switches off, and its file of the video.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.gpu.peers import comfyui_nodes
from benchmarks.gpu.peers.clip import RATE, WORDS, Clip, Timed, clip_of, timed
from benchmarks.gpu.peers.comfyui_server import Graph, served
from benchmarks.gpu.watch import Watch

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

LEVELS = "1.0, 0.99375, 0.9875, 0.98125, 0.975, 0.909375, 0.725, 0.421875, 0.0"
SECOND_LEVELS, SECOND_SEED = "0.85, 0.7250, 0.4219, 0.0", 42
TILES = {"tile_size": 768, "overlap": 64, "temporal_size": 4096, "temporal_overlap": 4}
FP8 = ("--fp8_e4m3fn-unet", "--fast", "fp8_matrix_mult")
"""Its own options for a transformer stored and multiplied in fp8."""


def run(bench: Bench, checkpoint: Path, upsampler: Path, repeats: int, fp8: bool = False) -> Timed:
    """The first clip loads the models, too; memory is the card's, as NVML has it."""
    base = _folder(bench.folder("comfyui"), checkpoint, upsampler)
    clip, width = clip_of(bench), _width(checkpoint)
    on_cpu = not bench.device.startswith("cuda")
    options = (*(FP8 if fp8 else ()), *(("--cpu",) if on_cpu else ()))
    log = bench.out / f"comfyui{'-fp8' if fp8 else ''}.log"

    with served(Path(bench.comfyui).resolve(), base, log, options) as server, Watch(bench.device) as watch:

        def once(number: int) -> Any:
            made = server.made(graph(clip, width, number, checkpoint.name, upsampler.name))
            (images, where), (_, also) = made["finished"]["made"]
            assert images == [clip.frames, clip.height, clip.width, 3], images
            assert where == also == "cpu", made

        made = timed(replace(bench, device="cpu"), once, repeats)
    return Timed(made.seconds, 0.0 if on_cpu else watch.peak_gib)


def _folder(base: Path, checkpoint: Path, upsampler: Path) -> Path:
    """Models and nodes where ComfyUI looks for them."""
    for kind, path in (("checkpoints", checkpoint), ("latent_upscale_models", upsampler)):
        (base / "models" / kind).mkdir(parents=True)
        (base / "models" / kind / path.name).symlink_to(path.resolve())
    (base / "custom_nodes").mkdir()
    shutil.copy(comfyui_nodes.__file__, base / "custom_nodes" / "ready.py")
    return base


def _width(checkpoint: Path) -> int:
    """Of encoded words: those for the picture and those for the sound, side by side."""
    from actors.engines.diffusers.checkpoint import Checkpoint

    config = Checkpoint.open(checkpoint).configs["transformer"]
    return int(config["cross_attention_dim"] + config["audio_cross_attention_dim"])


def graph(clip: Clip, width: int, seed: int, checkpoint: str, upsampler: str) -> Graph:
    """The template's nodes for a clip; `width` is that of encoded words."""
    words = {"tokens": WORDS, "width": width}
    made = {
        "models": _node("CheckpointLoaderSimple", ckpt_name=checkpoint),
        "audio_vae": _node("LTXVAudioVAELoader", ckpt_name=checkpoint),
        "larger": _node("LatentUpscaleModelLoader", model_name=upsampler),
        "positive": _node("ReadyConditioning", **words, seed=0),
        "negative": _node("ReadyConditioning", **words, seed=1),
        "words": _node(
            "LTXVConditioning", positive=("positive", 0), negative=("negative", 0), frame_rate=RATE
        ),
        "empty": _node(
            "EmptyLTXVLatentVideo",
            width=clip.width // 2,
            height=clip.height // 2,
            length=clip.frames,
            batch_size=1,
        ),
        "silence": _node(
            "LTXVEmptyLatentAudio",
            audio_vae=("audio_vae", 0),
            frames_number=clip.frames,
            frame_rate=int(RATE),
            batch_size=1,
        ),
    }
    made |= _pass("first", ("empty", 0), ("silence", 0), "words", LEVELS, seed)
    made["cropped"] = _node(
        "LTXVCropGuides", positive=("words", 0), negative=("words", 1), latent=("first", 0)
    )
    made["upsampled"] = _node(
        "LTXVLatentUpsampler", samples=("first", 0), upscale_model=("larger", 0), vae=("models", 2)
    )
    made |= _pass("second", ("upsampled", 0), ("first", 1), "cropped", SECOND_LEVELS, SECOND_SEED)
    made["frames"] = _node("VAEDecodeTiled", samples=("second", 0), vae=("models", 2), **TILES)
    made["sound"] = _node("LTXVAudioVAEDecode", samples=("second", 1), audio_vae=("audio_vae", 0))
    made["finished"] = _node("InHostMemory", images=("frames", 0), audio=("sound", 0))
    return made


def _pass(
    name: str, video: tuple[str, int], audio: tuple[str, int], words: str, levels: str, seed: int
) -> Graph:
    """One pass over picture and sound; the node `name` gives both apart again."""
    return {
        f"{name} both": _node("LTXVConcatAVLatent", video_latent=video, audio_latent=audio),
        f"{name} noise": _node("RandomNoise", noise_seed=seed),
        f"{name} guider": _node(
            "CFGGuider", model=("models", 0), positive=(words, 0), negative=(words, 1), cfg=1.0
        ),
        f"{name} sampler": _node("KSamplerSelect", sampler_name="euler"),
        f"{name} levels": _node("ManualSigmas", sigmas=levels),
        f"{name} sampled": _node(
            "SamplerCustomAdvanced",
            noise=(f"{name} noise", 0),
            guider=(f"{name} guider", 0),
            sampler=(f"{name} sampler", 0),
            sigmas=(f"{name} levels", 0),
            latent_image=(f"{name} both", 0),
        ),
        name: _node("LTXVSeparateAVLatent", av_latent=(f"{name} sampled", 0)),
    }


def _node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A pair is another node and the number of its output."""
    return {"class_type": kind, "inputs": inputs}
