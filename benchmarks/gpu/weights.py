"""Checkpoints of real dimensions with random weights, in the format of the bundled tiny model.

    python -m benchmarks.gpu.weights 2b /tmp/2b.safetensors

Both engines take the file: transformer, video VAE and a text encoder over the tiny model's words; a latent
upsampler lies beside it; `ltx2` adds the audio VAE and its vocoder. Weights have about unit gain and
biases are small, so that activations stay finite through all layers.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

BYTES = 2
SIZES = ("rehearsal", "2b", "13b", "ltx2", "ltx2-rehearsal")
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
    "ltx2": {
        "num_layers": 48, "num_attention_heads": 32, "attention_head_dim": 128, "cross_attention_dim": 4096,
        "caption_channels": 3840, "audio_num_attention_heads": 32, "audio_attention_head_dim": 64,
        "audio_cross_attention_dim": 2048,
    },
    "ltx2-rehearsal": {
        "num_layers": 2, "num_attention_heads": 4, "attention_head_dim": 32, "cross_attention_dim": 128,
        "caption_channels": 64, "audio_num_attention_heads": 4, "audio_attention_head_dim": 32,
        "audio_cross_attention_dim": 128, "connector_num_attention_heads": 2,
        "connector_attention_head_dim": 32, "connector_num_layers": 1,
    },
}  # fmt: skip
"""LTX-Video 2B and 13B, and LTX-2's 19B; `rehearsal` is for trying the benchmark itself on a CPU."""

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

AUDIO_SIDE = {
    "double_z": True, "mel_bins": 64, "z_channels": 8, "resolution": 256, "in_channels": 2, "out_ch": 2,
    "ch": 16, "ch_mult": [1, 2, 4], "num_res_blocks": 1, "attn_resolutions": [], "dropout": 0.0,
    "mid_block_add_attention": False, "norm_type": "pixel", "causality_axis": "height",
}  # fmt: skip
AUDIO_VAE = {"model": {"params": {"ddconfig": AUDIO_SIDE, "sampling_rate": 16000}}}
VOCODER = {
    "resblock_kernel_sizes": [3], "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [11, 8, 4, 4, 4],
    "resblock_dilation_sizes": [[1, 3, 5]], "upsample_initial_channel": 64, "stereo": True, "resblock": "1",
}  # fmt: skip

Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Layout:
    """Tensors by name and shape, and the configs of the file's metadata."""

    shapes: Shapes
    configs: dict[str, Any]

    @property
    def nbytes(self) -> int:
        return sum(_numel(shape) for shape in self.shapes.values()) * BYTES


def configs_of(size: str) -> dict[str, Any]:
    """The metadata of a size: VAE, words and upsampler are the bundled model's, with the dimensions
    replaced."""
    from actors.engines.comfyui.loading.tiny import configs_of as read
    from actors.models import TINY_CHECKPOINT

    bundled, heads = read(TINY_CHECKPOINT), HEADS[size]
    configs = {part: bundled[part] for part in ("vae", "text_encoder", "latent_upsampler")}
    configs["transformer"] = TRANSFORMER | heads
    text = 2 * heads["caption_channels"] if size.startswith("ltx2") else heads["caption_channels"]
    configs["text_encoder"] |= {"dim": text, "layers": 0, "max_tokens": 256}
    configs["latent_upsampler"]["dims"] = 3
    if "rehearsal" not in size:
        configs["vae"] |= REAL_VAE
        configs["latent_upsampler"] |= {"mid_channels": 512, "num_blocks_per_stage": 4}
    if size.startswith("ltx2"):
        # Core reads the audio side's context as the second half of the text embedding.
        configs |= {"audio_vae": AUDIO_VAE, "vocoder": VOCODER}
    return configs


def layout(size: str) -> Layout:
    """Names and shapes of a size; no weight is made. `ltx2` asks the ComfyUI that is booted."""
    import torch

    from actors.engines.diffusers.ltx_video import architecture, names
    from actors.models.tiny_text import TinyTextEncoder

    configs = configs_of(size)
    with torch.device("meta"):
        vae = names.original_vae_state(architecture.build_vae(configs["vae"]).state_dict(), configs["vae"])
        text = TinyTextEncoder.from_config(configs["text_encoder"]).state_dict()
        if size.startswith("ltx2"):
            parts = _audio_video_parts(configs)
        else:
            transformer = architecture.build_transformer(configs["transformer"]).state_dict()
            parts = {"model.diffusion_model.": names.original_transformer_state(transformer)}
    parts |= {"vae.": vae, "text_encoder.": text}
    return Layout(_shapes(parts), configs)


def upsampler_layout(size: str) -> Layout:
    """A 2x latent upsampler: a file of its own, as for real models."""
    import torch

    from actors.engines.diffusers.ltx_video import architecture

    config = configs_of(size)["latent_upsampler"]
    with torch.device("meta"):
        return Layout(_shapes({"": architecture.build_upsampler(config).state_dict()}), config)


def _shapes(parts: dict[str, dict[str, Any]]) -> Shapes:
    return {
        prefix + name: tuple(tensor.shape)
        for prefix, state in parts.items()
        for name, tensor in state.items()
    }


def _audio_video_parts(configs: dict[str, Any]) -> dict[str, dict[str, Any]]:
    import comfy.ops
    import torch
    from comfy.ldm.lightricks.av_model import LTXAVModel
    from comfy.ldm.lightricks.vae.causal_audio_autoencoder import CausalAudioAutoencoder
    from comfy.ldm.lightricks.vocoders.vocoder import Vocoder

    model = LTXAVModel(
        **configs["transformer"],
        dtype=torch.bfloat16,
        device="meta",
        operations=comfy.ops.disable_weight_init,
    )
    return {
        "model.diffusion_model.": model.state_dict(),
        "audio_vae.": CausalAudioAutoencoder(config=configs["audio_vae"]).state_dict(),
        "vocoder.": Vocoder(config=configs["vocoder"]).state_dict(),
    }


def write(path: Path, made: Layout, device: str) -> None:
    """The file, tensor by tensor: what is on the device at once is the largest of them."""
    header: dict[str, Any] = {"__metadata__": {"config": json.dumps(made.configs)}}
    offset = 0
    for name, shape in made.shapes.items():
        stop = offset + _numel(shape) * BYTES
        header[name] = {"dtype": "BF16", "shape": list(shape), "data_offsets": [offset, stop]}
        offset = stop
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    whole = path.with_suffix(".part")
    with whole.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        _write_tensors(file, made.shapes.items(), device)
    whole.replace(path)


def _write_tensors(file: BinaryIO, tensors: Iterable[tuple[str, tuple[int, ...]]], device: str) -> None:
    import torch

    generator = torch.Generator(device).manual_seed(0)
    for name, shape in tensors:
        drawn = _drawn(name, shape, generator, device)
        file.write(drawn.to(torch.bfloat16).cpu().contiguous().view(torch.int16).numpy().data)


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


def make(size: str, path: Path, device: str, comfyui: str) -> None:
    """Write the checkpoint of `size`, in this process."""
    if size.startswith("ltx2"):
        from actors.engines.comfyui.core.boot import BootOptions, boot

        boot(BootOptions(Path(comfyui), "cpu"))
    path.parent.mkdir(parents=True, exist_ok=True)
    write(upsampler_beside(path), upsampler_layout(size), device)
    write(path, layout(size), device)


def checkpoint(size: str, folder: Path, device: str, comfyui: str) -> Path:
    """The checkpoint of `size`, written if it is not there; in a process of its own, which leaves nothing on
    the device. Others make room: one is enough at a time."""
    path = folder / f"{size}.safetensors"
    if not path.exists():
        for other in _others(folder, size):
            other.unlink()
        words = [sys.executable, "-m", "benchmarks.gpu.weights", size, str(path), device, comfyui]
        subprocess.run(words, check=True)
    return path


def _others(folder: Path, size: str) -> Iterator[Path]:
    """Large files in the way of another large one."""
    if size in ("13b", "ltx2"):
        yield from (path for path in folder.glob("*.safetensors") if path.stem in ("13b", "ltx2"))


if __name__ == "__main__":
    make(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else "")
