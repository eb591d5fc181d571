"""Narrow LTX-2 models, made and named by ltx-core's own modules: what the farm loads from the file computes
the same, part by part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]
VERSIONS = ("2.0", "2.3")
SAME = 1e-5
"""Largest difference over the largest value."""


@dataclass(frozen=True)
class Sides:
    """ltx-core's parts, and the file that they were written to."""

    theirs: dict[str, Any]
    path: Path

    def ours(self, make: str) -> Any:
        import torch

        from actors.engines.diffusers.checkpoint import Checkpoint
        from actors.engines.diffusers.ltx2 import components

        return getattr(components, f"{make}_component")(Checkpoint.open(self.path)).load(torch.float32)


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Sides]:
    pytest.importorskip("ltx_core", reason="needs the environment of `make test-reference-comfyui`")
    from ltx_core_files import write_file

    folder, written = tmp_path_factory.mktemp("ltx2"), {}

    def find(version: str) -> Sides:
        if version not in written:
            path = folder / f"{version}.safetensors"
            written[version] = Sides(write_file(version, path), path)
        return written[version]

    return find


def difference(one: Any, other: Any) -> float:
    assert one.shape == other.shape
    return float((one - other).abs().max() / other.abs().max())


def noise(*shape: int, seed: int = 3) -> Any:
    import torch

    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("version", VERSIONS)
def test_text(version: str, sides: Callable[[str], Sides]) -> None:
    """Projections and connectors, of a prompt that is padded on the left."""
    import torch

    both = sides(version)
    states, mask = noise(1, 256, 64, 3), torch.zeros(1, 256, dtype=torch.long)
    mask[:, -40:] = 1
    wanted = both.theirs["text"].process_hidden_states(list(states.unbind(-1)), mask)
    video, audio, seen = both.ours("connectors")(states, mask)
    assert bool(seen.all())
    assert difference(video, wanted.video_encoding) < SAME
    assert difference(audio, wanted.audio_encoding) < SAME


@pytest.mark.parametrize("version", VERSIONS)
def test_one_forward_of_each_kind(version: str, sides: Callable[[str], Sides]) -> None:
    """Plain, with a block's self-attention skipped (STG), and with the modalities apart."""
    import torch
    from ltx_core.guidance.perturbations import (
        BatchedPerturbationConfig,
        Perturbation,
        PerturbationConfig,
        PerturbationType,
    )
    from ltx_core.model.transformer.modality import Modality

    both = sides(version)
    ours, width = both.ours("transformer"), 64 if version == "2.0" else 128
    video = _side(12, 3, 0.7, noise(1, 20, width, seed=4))
    audio = _side(17, 1, 0.6, noise(1, 20, 64, seed=5))
    blocks = (PerturbationType.SKIP_VIDEO_SELF_ATTN, PerturbationType.SKIP_AUDIO_SELF_ATTN)
    apart = (PerturbationType.SKIP_A2V_CROSS_ATTN, PerturbationType.SKIP_V2A_CROSS_ATTN)
    kinds: list[tuple[list[Any], dict[str, Any]]] = [
        ([], {}),
        ([Perturbation(kind, [1]) for kind in blocks], {"spatio_temporal_guidance_blocks": [1]}),
        ([Perturbation(kind, None) for kind in apart], {"isolate_modalities": True}),
    ]
    for perturbations, arguments in kinds:
        config = BatchedPerturbationConfig([PerturbationConfig(perturbations)])
        with torch.inference_mode():
            wanted = both.theirs["transformer"](Modality(**video), Modality(**audio), config)
            got = ours(**_in_diffusers_words(video, audio), **arguments)
        assert [difference(one, other) < SAME for one, other in zip(got, wanted, strict=True)] == [True, True]


def _in_diffusers_words(video: dict[str, Any], audio: dict[str, Any]) -> dict[str, Any]:
    return {
        "hidden_states": video["latent"],
        "audio_hidden_states": audio["latent"],
        "encoder_hidden_states": video["context"],
        "audio_encoder_hidden_states": audio["context"],
        "timestep": video["timesteps"][..., 0] * 1000,
        "audio_timestep": audio["timesteps"][..., 0] * 1000,
        "sigma": video["sigma"] * 1000,
        "audio_sigma": audio["sigma"] * 1000,
        "video_coords": video["positions"],
        "audio_coords": audio["positions"],
        "use_cross_timestep": True,
        "return_dict": False,
    }


def _side(tokens: int, axes: int, sigma: float, context: Any) -> dict[str, Any]:
    import torch

    starts = noise(1, axes, tokens, seed=6).abs()
    return {
        "latent": noise(1, tokens, 128, seed=tokens),
        "sigma": torch.tensor([sigma]),
        "timesteps": noise(1, tokens, 1, seed=8).abs().clamp(max=1),
        "positions": torch.stack([starts, starts + 1], dim=-1),
        "context": context,
        "enabled": True,
        "context_mask": None,
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_video_vae(version: str, sides: Callable[[str], Sides]) -> None:
    import torch

    from actors.engines.diffusers.codec import VideoCodec

    both, pixels, latents = sides(version), noise(1, 3, 9, 64, 64).clamp(-1, 1), noise(1, 128, 3, 2, 2)
    codec = VideoCodec(both.ours("vae"))
    with torch.inference_mode():
        encoded = codec.normalize(codec.vae.encode(pixels).latent_dist.mode())
        assert difference(encoded, both.theirs["encoder"](pixels)) < SAME
        decoded = codec.decoded(codec.prepare(latents))
        assert difference(decoded, both.theirs["decoder"](latents)) < SAME


@pytest.mark.parametrize("version", VERSIONS)
def test_vocoder(version: str, sides: Callable[[str], Sides]) -> None:
    import torch

    both, mel = sides(version), noise(1, 2, 65, 64)
    with torch.inference_mode():
        assert difference(both.ours("vocoder")(mel), both.theirs["vocoder"](mel)) < SAME
