"""Checkpoints of real dimensions with random weights, in the format of the bundled tiny model.

    python -m benchmarks.gpu.weights 2b FILE

Both engines take the file: transformer, video VAE and a text encoder over the tiny model's words; a latent
upsampler lies beside it; LTX-2's have the sound models too, and every tensor of the published layout but the
connectors of their text encoder. Beside LTX-2.5's lies its second video VAE, with the diffusion decoder.
Weights have about unit gain and biases are small, so that activations stay finite through all layers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any

BYTES = {"BF16": 2, "F32": 4}
WRITERS = 8
HEADS: dict[str, dict[str, int]] = {
    "rehearsal": {
        "num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 32, "cross_attention_dim": 64,
        "caption_channels": 64,
    },
    "2b": {
        "num_layers": 28, "num_attention_heads": 32, "attention_head_dim": 64, "cross_attention_dim": 2048,
        "caption_channels": 4096,
    },
    "13b": {
        "num_layers": 48, "num_attention_heads": 32, "attention_head_dim": 128, "cross_attention_dim": 4096,
        "caption_channels": 4096,
    },
}  # fmt: skip
"""LTX-Video 2B and 13B; `rehearsal` is for trying the benchmark itself on a CPU."""
PUBLISHED: dict[str, tuple[str, str]] = {
    "ltx2.3": ("2.3", "full"),
    "ltx2.5": ("2.5", "full"),
    "ltx2-rehearsal": ("2.3", "narrow"),
    "ltx2.5-rehearsal": ("2.5", "narrow"),
}
"""LTX-2's sizes: version and width of the published layout."""
LTX2_TOKENS = 1024

TRANSFORMER: dict[str, Any] = {
    "_class_name": "Transformer3DModel", "activation_fn": "gelu-approximate",
    "adaptive_norm": "single_scale_shift", "attention_bias": True, "causal_temporal_positioning": True,
    "in_channels": 128, "norm_elementwise_affine": False, "norm_eps": 1e-06, "out_channels": 128,
    "positional_embedding_max_pos": [20, 2048, 2048], "positional_embedding_theta": 10000.0,
    "positional_embedding_type": "rope", "qk_norm": "rms_norm", "standardization_norm": "rms_norm",
    "timestep_scale_multiplier": 1000,
}  # fmt: skip
"""What the transformers of all sizes have in common."""

_LAYERS = {"num_layers": 5, "inject_noise": False}
_UP = {"residual": True, "multiplier": 2}
REAL_VAE: dict[str, Any] = {
    "decoder_base_channels": 128,
    "encoder_base_channels": 128,
    "encoder_blocks": [
        ["res_x", {"num_layers": 4}], ["compress_space_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}], ["compress_time_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 6}], ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}], ["compress_all_res", {"multiplier": 2}],
        ["res_x", {"num_layers": 2}],
    ],
    "decoder_blocks": [*(3 * [["res_x", _LAYERS], ["compress_all", _UP]]), ["res_x", _LAYERS]],
}  # fmt: skip
"""Blocks of the VAE that came with LTX-Video 0.9.5 and later."""

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Tensors by name and shape, all of one number type, and the configs of the file's metadata."""

    shapes: Shapes
    configs: dict[str, Any]
    dtype: str = "BF16"

    @property
    def metadata(self) -> dict[str, str]:
        """transformers refuses a file that does not say whose format it is."""
        return {"config": json.dumps(self.configs)} if self.configs else {"format": "pt"}

    @property
    def nbytes(self) -> int:
        return sum(_numel(shape) for shape in self.shapes.values()) * BYTES[self.dtype]


def bundled_configs() -> dict[str, Any]:
    from actors.engines.comfyui.loading.tiny import configs_of
    from actors.models import TINY_CHECKPOINT

    return configs_of(TINY_CHECKPOINT)


def configs_of(size: str) -> dict[str, Any]:
    """The metadata of a size of LTX-Video: VAE and words are the bundled model's, with the dimensions
    replaced."""
    bundled, heads = bundled_configs(), HEADS[size]
    configs = {part: bundled[part] for part in ("vae", "text_encoder")}
    configs["transformer"] = TRANSFORMER | heads
    configs["text_encoder"] |= {"dim": heads["caption_channels"], "layers": 0, "max_tokens": 256}
    if size != "rehearsal":
        configs["vae"] |= REAL_VAE
    return configs


def layout(size: str) -> Layout:
    """Names and shapes of a size; no weight is made."""
    return _published(*PUBLISHED[size]) if size in PUBLISHED else _ltx_video(size)


def _ltx_video(size: str) -> Layout:
    import torch

    from actors.engines.diffusers.ltx_video import architecture, names
    from actors.models.tiny_text import TinyTextEncoder

    configs = configs_of(size)
    with torch.device("meta"):
        vae = names.original_vae_state(architecture.build_vae(configs["vae"]).state_dict(), configs["vae"])
        text = TinyTextEncoder.from_config(configs["text_encoder"]).state_dict()
        transformer = architecture.build_transformer(configs["transformer"]).state_dict()
    parts = {"model.diffusion_model.": names.original_transformer_state(transformer)}
    return Layout(_shapes(parts | {"vae.": vae, "text_encoder.": text}), configs)


def _published(version: str, width: str) -> Layout:
    """LTX-2 with the bundled model's words in place of Gemma and its connectors."""
    import torch

    from actors.models.tiny_text import TinyTextEncoder
    from tests.official import ltx2_files

    shapes = {
        name: shape
        for name, shape in ltx2_files.shapes(version, width).items()
        if "embeddings_connector" not in name and "text_embedding_projection" not in name
    }
    configs = json.loads(ltx2_files.metadata(version, width)["config"])
    words = bundled_configs()["text_encoder"] | {"layers": 0, "max_tokens": LTX2_TOKENS}
    configs["text_encoder"] = words
    configs["transformer"]["caption_channels"] = words["dim"]
    for side, name in (("", "video"), ("audio_", "audio")):
        inner = shapes[f"model.diffusion_model.{side}patchify_proj.weight"][0]
        shapes[f"text_embedding_projection.{name}_aggregate_embed.weight"] = (inner, words["dim"])
    with torch.device("meta"):
        text = TinyTextEncoder.from_config(words).state_dict()
    return Layout(shapes | _shapes({"text_encoder.": text}), configs)


def upsampler_layout(size: str) -> Layout:
    """A 2x latent upsampler: a file of its own, as for real models."""
    import torch

    from actors.engines.diffusers.ltx_video import architecture

    config = bundled_configs()["latent_upsampler"] | {"dims": 3}
    if "rehearsal" not in size:
        config |= {"mid_channels": 512, "num_blocks_per_stage": 4}
    with torch.device("meta"):
        return Layout(_shapes({"": architecture.build_upsampler(config).state_dict()}), config)


def pixels_layout(size: str) -> Layout:
    """LTX-2.5's second video VAE: a file of its own, as published."""
    from tests.official import pixel_vae

    width = PUBLISHED[size][1]
    decoder = pixel_vae.NARROW if width == "narrow" else pixel_vae.DECODER
    return Layout(pixel_vae.pixel_shapes(decoder, width), {"vae": pixel_vae.vae_config(decoder)})


def _shapes(parts: dict[str, dict[str, Any]]) -> Shapes:
    return {
        prefix + name: tuple(tensor.shape)
        for prefix, state in parts.items()
        for name, tensor in state.items()
    }


def write(path: Path, made: Layout, device: str) -> None:
    """The file, tensor by tensor: what is on the device at once are `WRITERS` of them."""
    header: dict[str, Any] = {"__metadata__": made.metadata}
    offset = 0
    for name, shape in made.shapes.items():
        stop = offset + _numel(shape) * BYTES[made.dtype]
        header[name] = {"dtype": made.dtype, "shape": list(shape), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = path.with_suffix(".part")
    with whole.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.flush()
        file.truncate(file.tell() + offset)
        _write_tensors(file.fileno(), file.tell(), made, device)
    whole.replace(path)


def _write_tensors(file: int, start: int, made: Layout, device: str) -> None:
    """Drawn one after the other, and brought to the file beside that: fresh pages of host memory and of the
    file take one thread several times as long as `WRITERS`."""
    import torch

    generator = torch.Generator(device).manual_seed(0)
    dtype = torch.bfloat16 if made.dtype == "BF16" else torch.float32
    free = BoundedSemaphore(WRITERS)

    def put(drawn: Any, at: int) -> None:
        try:
            left = memoryview(drawn.cpu().reshape(-1).view(torch.uint8).numpy()).cast("B")
            while left:
                written = os.pwrite(file, left, at)
                left, at = left[written:], at + written
        finally:
            free.release()

    with ThreadPoolExecutor(WRITERS) as pool:
        jobs = []
        for name, shape in made.shapes.items():
            free.acquire()
            jobs.append(pool.submit(put, _drawn(name, shape, generator, device).to(dtype), start))
            start += _numel(shape) * BYTES[made.dtype]
        for job in jobs:
            job.result()


def _drawn(name: str, shape: tuple[int, ...], generator: Any, device: str) -> Any:
    import torch

    if "per_channel_statistics" in name:
        one = name.endswith("std-of-means")
        return torch.full(shape, 1.0 if one else 0.0, device=device)
    drawn = torch.randn(shape, generator=generator, device=device)
    if len(shape) > 1 and "table" not in name:
        return drawn * _numel(shape[1:]) ** -0.5
    is_gain = len(shape) == 1 and name.endswith("weight")
    return drawn * 0.05 + (1.0 if is_gain else 0.0)


def _numel(shape: Iterable[int]) -> int:
    product = 1
    for size in shape:
        product *= size
    return product


def upsampler_beside(path: Path) -> Path:
    """The latent upsampler that belongs to a checkpoint."""
    return path.with_name(f"{path.stem}-upsampler.safetensors")


def pixels_beside(path: Path) -> Path:
    """The video VAE with a diffusion decoder that belongs to a checkpoint of LTX-2.5."""
    return path.with_name(f"{path.stem}-pixels.safetensors")


def make(size: str, path: Path, device: str) -> None:
    """Write the checkpoint of `size`, in this process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write(upsampler_beside(path), upsampler_layout(size), device)
    if PUBLISHED.get(size, ("",))[0] == "2.5":
        write(pixels_beside(path), pixels_layout(size), device)
    write(path, layout(size), device)


def checkpoint(size: str, folder: Path, device: str) -> Path:
    """The checkpoint of `size`, written if it is not there; in a process of its own, which leaves nothing on
    the device. Others make room: one is enough at a time."""
    path = folder / f"{size}.safetensors"
    if not path.exists():
        make_room(folder, size)
        words = [sys.executable, "-m", "benchmarks.gpu.weights", size, str(path), device]
        subprocess.run(words, check=True)
    return path


def make_room(folder: Path, size: str) -> None:
    """Forget large files that are in the way of another large one."""
    large = ("13b", *PUBLISHED)
    for path in folder.glob("*.safetensors") if size in large else ():
        if path.stem in large:
            path.unlink()


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), sys.argv[3] if len(sys.argv) > 3 else "cpu")
