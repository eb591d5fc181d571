"""ComfyUI's core on the device: feed-forward in pieces, the kernel that `auto` measures, and what the nodes
hand back to the driver between their stages."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from benchmarks.gpu.decode_items import engine_settings
from benchmarks.gpu.films import REPEATS, WORDS, open_engine
from benchmarks.gpu.kernel_items import FFN_CHUNKS
from benchmarks.gpu.watch import GIB, Peak, seconds

if TYPE_CHECKING:
    from benchmarks.gpu.bench import Bench

STEPS = 2
HAND_OVERS = ("generated, upscale next", "re-sampled, decode next", "decoded")


def nodes(bench: Bench) -> None:
    """The parts of the nodes that the farm's films do not show."""
    import torch

    engine = open_engine(bench, engine_settings(bench, "2b", "comfyui"), ("encode", "sample"))
    with torch.inference_mode():
        pair = _pair(bench, engine)
        _feed_forward(bench, engine, pair)
        _attention(bench, engine)
        _hand_overs(bench, engine, pair)
    engine.close()


def _pair(bench: Bench, engine: Any) -> Any:
    prompt = WORDS * (REPEATS if bench.real else 1)
    return tuple(engine.loaded.text.conditioning(text) for text in (prompt, ""))


def _feed_forward(bench: Bench, engine: Any, pair: Any) -> None:
    """`ffn_chunks` against the peak beside the weights, for a clip at base size and at 2x."""
    rows: list[dict[str, Any]] = []
    for what, scale in (("base", 1), ("2x", 2)):
        whole: Any = None
        for chunks in FFN_CHUNKS:
            run = partial(_sampled, bench, engine, pair, scale, chunks)
            sampled = run()
            whole = sampled if whole is None else whole
            with Peak(bench.device) as peak:
                run()
            row = {"clip": what, "ffn_chunks": chunks, "peak GiB": peak.gib}
            rows.append(row | {"s per step": seconds(run, bench.device, 1) / STEPS})
            rows[-1] |= {"difference": _difference(sampled, whole)}
        for row in rows[-len(FFN_CHUNKS) :]:
            least = rows[-len(FFN_CHUNKS)]["peak GiB"]
            row["peak against 0"] = row["peak GiB"] / least if least else 1.0
    bench.table("`ffn_chunks` in ComfyUI: activation peak of sampling (2B, one pass a step)", rows)


def _sampled(bench: Bench, engine: Any, pair: Any, scale: int, ffn_chunks: int) -> Any:
    from actors.engines.comfyui.sampling.denoise import Settings, empty_clip, sample_clip
    from actors.engines.comfyui.sampling.guidance import Guidance
    from actors.engines.comfyui.sampling.patches import Efficiency

    clip, loaded = bench.clip, engine.loaded
    start = empty_clip(loaded.core, clip.width * scale, clip.height * scale, clip.latents)
    recipe = Settings(0, 25.0, STEPS, Guidance(1.0), efficiency=Efficiency("default", ffn_chunks))
    return sample_clip(loaded.core, loaded.model, pair, start, recipe).video


def _difference(one: Any, other: Any) -> float:
    """Relative RMS."""
    return float((one - other).float().square().mean().sqrt() / other.float().square().mean().sqrt())


def _attention(bench: Bench, engine: Any) -> None:
    """What a node with attention_mode `auto` measures for the two sizes, and takes."""
    from actors.engines.comfyui.sampling.attention import ShapeClass, choice

    rows: list[dict[str, Any]] = []
    for what, scale in (("base", 1), ("2x", 2)):
        shape = ShapeClass.of(engine.loaded.model, bench.clip.tokens(scale))
        assert shape is not None
        made = choice(shape)
        row = {"clip": what, "tokens up to": shape.tokens, "type": shape.dtype}
        rows.append(row | {"taken": made.kernel, "measured": made.reason})
    bench.table("Attention in ComfyUI: what `auto` measures and takes (2B)", rows)


def _hand_overs(bench: Bench, engine: Any, pair: Any) -> None:
    """RSLTXVGenerate with upscale and decode: GiB on the device at each hand-over, before and after it
    frees."""
    import comfy.sd

    from farm.nodes.ltxv_generate import RSLTXVGenerate

    clip, loaded = bench.clip, engine.loaded
    # As core's loader gives it: the farm's own leaves its frames on the device.
    vae = comfy.sd.load_checkpoint_guess_config(
        str(loaded.files.checkpoint), output_model=False, output_clip=False, output_vae=True
    )[2]
    models = {"model": loaded.model, "vae": vae, "upscale_model": loaded.upscale_model}
    sizes = {"width": clip.width, "height": clip.height, "num_frames": clip.frames, "frame_rate": 25.0}
    steps = {"seed": 0, "steps": STEPS, "upscale_steps": STEPS, "cfg": 1.0, "upscale_cfg": 1.0}
    with _watched_frees(bench) as frees:
        latent, images, _ = RSLTXVGenerate().generate(
            **models, **sizes, **steps, positive=pair[0], negative=pair[1], upscale=True, decode=True
        )
    made = [f"{tuple(tensor.shape)} on {tensor.device}" for tensor in (latent["samples"], images)]
    rows = [{"hand-over": name} | free for name, free in zip(HAND_OVERS, frees, strict=True)]
    rows[-1]["returned"] = "latent {}, images {}".format(*made)
    bench.table("RSLTXVGenerate on the device: GiB allocated at each hand-over (2B)", rows)


@contextmanager
def _watched_frees(bench: Bench) -> Iterator[list[dict[str, Any]]]:
    """Notes what is allocated around every call by which the nodes free."""
    from actors.engines.comfyui.core.vram import free_vram
    from farm.nodes import flow

    seen: list[dict[str, Any]] = []

    def watched() -> None:
        before = _held_gib(bench)
        free_vram()
        seen.append({"before GiB": before, "after GiB": _held_gib(bench), "largest left": _largest(bench)})

    with patch.object(flow, "free_vram", watched):
        yield seen


def _largest(bench: Bench) -> str:
    """The largest tensor on the device that Python still refers to."""
    import torch

    kind = torch.device(bench.device).type
    alive = (one for one in gc.get_objects() if isinstance(one, torch.Tensor) and one.device.type == kind)
    largest = max(alive, key=lambda one: one.nbytes, default=None)
    return "none" if largest is None else f"{tuple(largest.shape)} {largest.dtype}"


def _held_gib(bench: Bench) -> float:
    if not bench.device.startswith("cuda"):
        return 0.0
    import torch

    gc.collect()
    return torch.cuda.memory_allocated() / GIB
