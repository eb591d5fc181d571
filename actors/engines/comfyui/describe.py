"""What can reach the bytes of this engine's results, as JSON."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from actors.compute import compute_class
from actors.packages import installed_versions
from jobs.file_digests import file_digest

if TYPE_CHECKING:
    from actors.engines.comfyui.core.nodes import Core
    from actors.engines.comfyui.loading.loaders import ComfyModelFiles

SOURCES = (
    "comfyui_version.py",
    "comfy/*.py",
    "comfy/k_diffusion/*.py",
    "comfy/ldm/common_dit.py",
    "comfy/ldm/lightricks/**/*.py",
    "comfy/ldm/modules/**/*.py",
    "comfy/text_encoders/genmo.py",
    "comfy/text_encoders/llama.py",
    "comfy/text_encoders/lt.py",
    "comfy/text_encoders/spiece_tokenizer.py",
    "comfy/text_encoders/t5*.py",
    "comfy/weight_adapter/*.py",
    "comfy_extras/nodes_audio.py",
    "comfy_extras/nodes_custom_sampler.py",
    "comfy_extras/nodes_lt*.py",
    "comfy_extras/nodes_slg.py",
)
"""The core's own modules on the way from a prompt to pixels and sound."""

VERSION = 2
"""Raised when this engine's own code changes what it makes."""

PACKAGES = ("torch", "torchaudio", "transformers", "sageattention", "comfy-kitchen", "comfy-aimdo")
"""Those whose kernels, resampler or tokenizer reach the bytes."""


def fingerprint(core: Core, files: ComfyModelFiles, dtype: str, device: str) -> dict[str, Any]:
    """The same on every worker of one compute class, whatever stages it hosts."""
    return {
        "engine": "comfyui",
        "version": core.version,
        "engine_version": VERSION,
        "source": _source_digest(),
        "torch": torch.__version__,
        "packages": installed_versions(PACKAGES),
        "compute": compute_class(device),
        "dtype": dtype,
        "attention": _attention_name(),
        "vae_chunk_bytes": _vae_chunk_bytes(),
        **files.digests(),
    }


def sources(files: ComfyModelFiles) -> dict[str, dict[str, str]]:
    """What the fingerprint was made from: packages by version, files by path and SHA-256."""
    read = [*files.paths(), *_source_files()]
    return {
        "packages": installed_versions(PACKAGES),
        "files": {str(path.absolute()): file_digest(path) for path in read},
    }


def _source_digest() -> str:
    """SHA-256 of the core's modules that render: two commits may carry one version number."""
    total = hashlib.sha256()
    for path in _source_files():
        total.update(path.relative_to(_core_root()).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _source_files() -> list[Path]:
    return sorted({path for pattern in SOURCES for path in _core_root().glob(pattern)})


def _core_root() -> Path:
    import comfy

    return Path(str(comfy.__path__[0])).parent


def _attention_name() -> str:
    """The kernel that `default` means; command-line switches of ComfyUI change it."""
    from comfy.ldm.modules import attention

    return str(attention.optimized_attention.__name__)


def _vae_chunk_bytes() -> int:
    """Newer cores cut the VAE's work by the device's total memory; 0 where they do not."""
    import comfy.model_management
    from comfy.ldm.lightricks.vae import causal_video_autoencoder

    chunk = getattr(causal_video_autoencoder, "get_max_chunk_size", None)
    return int(chunk(comfy.model_management.get_torch_device())) if chunk else 0
