"""Writes the tables of docs/files.md by trying every kind of file: the check of a spec first, then the load.

Runs where ComfyUI's core runs, beside the packages of the extras `comfyui` and `gguf`:

    COMFYUI_PATH=… python -m tools.files_table

Those of LTX-2.5 in parts are `tools.parts_table`'s, which needs neither.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT / "tests" / "comfyui" / "kit"))

from actors.engines.comfyui.core.boot import BootOptions, boot  # noqa: E402
from actors.engines.comfyui.loading.completeness import UNUSED_STATISTICS  # noqa: E402
from jobs.errors import FarmError, InputError  # noqa: E402
from jobs.loading.load import load_spec  # noqa: E402
from tests.official import files, loras, quantised  # noqa: E402
from tools import parts_table  # noqa: E402
from tools.parts_table import PAGE, put, table  # noqa: E402

ENGINES = ("diffusers", "comfyui")
PREFIX = quantised.PREFIX
LOADS = "loads"


def main() -> None:
    logging.disable(logging.WARNING)
    boot(BootOptions(Path(os.environ["COMFYUI_PATH"]), device="cpu"))
    with tempfile.TemporaryDirectory() as folder:
        tables = {
            "releases": table(("file", "diffusers", "ComfyUI"), releases(Path(folder))),
            "layouts": table(("layout", "diffusers", "ComfyUI"), layouts(Path(folder))),
            "loras": table(("kind of LoRA", "diffusers", "ComfyUI"), lora_kinds(Path(folder))),
        }
    put(PAGE, tables | parts_table.tables())


def releases(folder: Path) -> Iterator[tuple[str, ...]]:
    """Published checkpoints at full width: names and shapes beside the modules, with and without a config."""
    for name in files.RELEASES:
        found = []
        for metadata in (True, False):
            path = files.write_release(folder, name, metadata)
            found.append((_fills_diffusers(path), _fills_core(name, metadata)))
            path.unlink()
        yield (f"`{name}`", *map(_both, *found))


def _both(told: str, inferred: str) -> str:
    return told if told == inferred else f"{told}; without config {inferred}"


def _fills_diffusers(path: Path) -> str:
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import transformer_component, vae_component

    checkpoint = Checkpoint.open(path)
    for make in (transformer_component, vae_component):
        make(checkpoint).empty()
    return LOADS


def _fills_core(name: str, metadata: bool) -> str:
    """Core's modules on the meta device, chosen by core itself."""
    import comfy.model_detection
    import comfy.ops
    from comfy.ldm.lightricks.model import LTXVModel
    from comfy.ldm.lightricks.vae.causal_video_autoencoder import VideoVAE

    release = files.RELEASES[name]
    entries = files.single_file(release)
    shapes = {key: torch.empty(shape, device="meta") for key, (_, shape) in entries.items()}
    told = files.config_of(release) if metadata else None
    model = comfy.model_detection.model_config_from_unet(shapes, PREFIX, metadata=told)
    config = {key: value for key, value in model.unet_config.items() if key != "image_model"}
    transformer = LTXVModel(**config, device="meta", operations=comfy.ops.disable_weight_init)
    wanted = {PREFIX + key: tuple(t.shape) for key, t in transformer.state_dict().items()}
    version = ("0.9.0", "0.9.1", "0.9.5").index(release.vae)
    described = files.LAYOUTS["vaes"][release.vae]["config"] if metadata else None
    with torch.device("meta"):
        vae = VideoVAE(version=version, config=described)
    wanted |= {f"vae.{key}": tuple(t.shape) for key, t in vae.state_dict().items()}
    stored = {key: tuple(t.shape) for key, t in shapes.items()}
    unused = {f"vae.{name}" for name in UNUSED_STATISTICS}
    fits = all(stored.get(key) == shape for key, shape in wanted.items())
    return LOADS if fits and stored.keys() - wanted.keys() <= unused else "does not fit"


def layouts(folder: Path) -> Iterator[tuple[str, ...]]:
    """Ways to store a model, at reduced width."""
    made = dict(_made(folder))
    for what, engine in made.items():
        yield (what, *(_tried(kind, dict(engine), load_parts) for kind in ENGINES))


def _made(folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Engine sections by what they name."""
    whole = _whole(folder / "ltxv.safetensors")
    yield from _whole_and_alone(whole, folder)
    yield from _folders(whole, folder)
    yield from _beside(whole, folder)


def _whole_and_alone(whole: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """One file, its transformer alone, and the same in few bits."""
    from safetensors.torch import load_file, save_file

    from actors.engines.diffusers.checkpoint import Checkpoint

    tensors = load_file(whole)

    def written(name: str, kept: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> str:
        save_file(kept, folder / name, metadata)
        return str(folder / name)

    config = dict(Checkpoint.open(whole).weights.metadata)
    own = {key.removeprefix(PREFIX): t for key, t in tensors.items() if key.startswith(PREFIX)}
    prefixed = {PREFIX + key: tensor for key, tensor in own.items()}
    own_vae = {key.removeprefix("vae."): t for key, t in tensors.items() if key.startswith("vae.")}
    vae = written("vae.safetensors", own_vae, config)
    yield "one file", {"checkpoint": str(whole)}
    alone = written("model.safetensors", own, config)
    yield "transformer alone, and a VAE", {"diffusion_model": alone, "vae": vae}
    with_prefix = written("prefixed.safetensors", prefixed, config)
    yield "the same with its prefix", {"diffusion_model": with_prefix, "vae": vae}
    yield "transformer alone, no VAE named", {"checkpoint": alone}
    for kind in quantised.KINDS:
        path = folder / f"{kind}.safetensors"
        yield kind, {"checkpoint": str(quantised.write_quantised(whole, path, kind))}
    for kind in ("Q8_0", "Q4_0"):
        path = quantised.write_gguf(whole, folder / f"{kind}.gguf", kind)
        yield f"GGUF {kind}, and a VAE", {"diffusion_model": str(path), "vae": vae}


def _folders(whole: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Models in diffusers' folders."""
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_vae

    parts = folder / "parts"
    load_transformer(Checkpoint.open(whole)).save_pretrained(parts / "transformer", max_shard_size="500KB")
    load_vae(Checkpoint.open(whole)).save_pretrained(parts / "vae")
    (parts / "text_encoder").mkdir()
    yield "diffusers folder, in shards", {"checkpoint": str(parts)}
    yield "`transformer` folder, and a `vae` folder", {
        "checkpoint": str(parts / "transformer"), "vae": str(parts / "vae")
    }  # fmt: skip


def _beside(whole: Path, folder: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """What stands beside a model, or is none."""
    from comfyui_checkpoints import write_upsampler

    upscaler = str(write_upsampler(folder / "up.safetensors"))
    yield "spatial upscaler", {"checkpoint": str(whole), "upscale_model": upscaler}
    temporal = {key: ("BF16", shape) for key, shape in files.upsampler_shapes("temporal").items()}
    path = files.write_sparse(folder / "temporal.safetensors", temporal)
    yield "temporal upscaler", {"checkpoint": str(whole), "upscale_model": str(path)}
    yield (
        "a LoRA named as checkpoint",
        {"checkpoint": str(loras.write_lora(folder / "lora.safetensors", "A and B", _layers()))},
    )
    path = folder / "cut.safetensors"
    path.write_bytes(whole.read_bytes()[:-100])
    yield "a file that was not copied whole", {"checkpoint": str(path)}


def _whole(path: Path) -> Path:
    """A checkpoint of reduced width that both engines can build: core's transformer, the VAE of 0.9.5."""
    from comfyui_checkpoints import TRANSFORMER, write_ltxv
    from safetensors.torch import load_file, save_file

    from actors.engines.diffusers.ltx_video.architecture import build_vae
    from actors.engines.diffusers.ltx_video.names import original_vae_state

    narrow = {"encoder_base_channels": 16, "decoder_base_channels": 16}
    config = {**files.LAYOUTS["vaes"]["0.9.5"]["config"], **narrow}
    vae = original_vae_state(build_vae(config).state_dict(), config)
    tensors = {k: t for k, t in load_file(write_ltxv(path)).items() if k.startswith(PREFIX)}
    tensors |= {f"vae.{key}": tensor.contiguous() for key, tensor in vae.items()}
    save_file(tensors, path, {"config": json.dumps({"transformer": TRANSFORMER, "vae": config})})
    return path


def lora_kinds(folder: Path) -> Iterator[tuple[str, ...]]:
    """Kinds of LoRA files on one model, at reduced width."""
    whole = folder / "ltxv.safetensors"
    for kind in loras.KINDS:
        path = loras.write_lora(folder / "style.safetensors", kind, _layers())
        engine = {"checkpoint": str(whole), "loras": [{"path": str(path)}]}
        yield (kind, *(_tried(name, engine, load_transformer_of) for name in ENGINES))


def _layers() -> dict[str, tuple[int, int]]:
    from comfyui_checkpoints import TEXT_DIM, TRANSFORMER

    width = TRANSFORMER["num_attention_heads"] * TRANSFORMER["attention_head_dim"]
    return loras.layers_of(width, TRANSFORMER["cross_attention_dim"], TEXT_DIM)


def _tried(name: str, engine: dict[str, Any], load: Callable[[Any], None]) -> str:
    """`loads`, or who refuses the engine section and what it says to do."""
    text = "owner/t5" if name == "diffusers" else "t5.safetensors"
    section = {"name": name, "text_encoder": text, **engine}
    videos = [{"name": "a", "chunks": [{"generate": {"prompt": "p"}}]}]
    upscale: dict[str, Any] = {"upscale": {}} if "upscale_model" in engine else {}
    try:
        loaded = load_spec({"name": "x", "engine": section, "videos": videos, **upscale})
    except InputError as error:
        return f"`check`: {error.problems[0].remedy}"
    try:
        load(loaded.spec.engine)
    except FarmError as error:
        problems = getattr(error, "problems", ())
        return f"before the first task: {problems[0].remedy if problems else error}"
    return LOADS


def load_parts(engine: Any) -> None:
    """Every model that the section names, but for the text encoder."""
    load_transformer_of(engine)
    if engine.name == "diffusers":
        loader = _loader(engine)
        loader.codec()
        if engine.upscale_model:
            loader.upsampler()
        return
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.loading.by_node import load_upscale_model
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles, load_vae

    located = ComfyModelFiles.locate(engine.model_copy(update={"text_encoder": None}))
    load_vae(located)
    if engine.upscale_model:
        load_upscale_model(Core.current(), located)


def load_transformer_of(engine: Any) -> None:
    if engine.name == "diffusers":
        _loader(engine).denoising()
        return
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles, load_model

    with torch.inference_mode():
        load_model(ComfyModelFiles.locate(engine.model_copy(update={"text_encoder": None})), "float32")


def _loader(engine: Any) -> Any:
    from actors.engines.diffusers.files import find_files
    from actors.engines.diffusers.ltx_video.loading import Loader

    return Loader(find_files(engine.model_copy(update={"text_encoder": None})), torch.float32)


if __name__ == "__main__":
    main()
