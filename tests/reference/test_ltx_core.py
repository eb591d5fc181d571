"""Lightricks' LTX-2 packages in their environment: a reduced model runs, and is written in the published
layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]

CHECKED: dict[str, Any] = {
    "dropout": 0.0,
    "attention_bias": True,
    "num_vector_embeds": None,
    "activation_fn": "gelu-approximate",
    "num_embeds_ada_norm": 1000,
    "use_linear_projection": False,
    "only_cross_attention": False,
    "cross_attention_norm": True,
    "double_self_attention": False,
    "upcast_attention": False,
    "standardization_norm": "rms_norm",
    "norm_elementwise_affine": False,
    "qk_norm": "rms_norm",
    "positional_embedding_type": "rope",
    "use_audio_video_cross_attention": True,
    "share_ff": False,
    "av_cross_ada_norm": True,
    "use_middle_indices_grid": True,
}
"""What ltx-core insists on in a transformer's configuration."""

REDUCED_2_3: dict[str, Any] = {
    **CHECKED,
    "num_layers": 2,
    "num_attention_heads": 4,
    "attention_head_dim": 32,
    "cross_attention_dim": 128,
    "audio_num_attention_heads": 4,
    "audio_attention_head_dim": 16,
    "audio_cross_attention_dim": 64,
    "caption_proj_before_connector": True,
    "apply_gated_attention": True,
    "cross_attention_adaln": True,
    "rope_type": "split",
    "frequencies_precision": "float64",
    "causal_temporal_positioning": True,
}
"""The layout of LTX-2.3's transformer, narrow and short."""


@pytest.fixture(scope="module")
def model() -> Any:
    pytest.importorskip("ltx_core", reason="needs the environment of `make test-reference-comfyui`")
    import torch
    from ltx_core.model.transformer.model_configurator import LTXModelConfigurator
    from reduced_files import drawn

    model = LTXModelConfigurator.from_config({"transformer": REDUCED_2_3}).eval()
    model.load_state_dict(drawn(model, torch.Generator().manual_seed(1)))
    return model


def test_a_reduced_model_runs(model: Any) -> None:
    """Both modalities, one token of sound for a clip of eight."""
    import torch
    from ltx_core.guidance.perturbations import BatchedPerturbationConfig
    from ltx_core.model.transformer.modality import Modality

    def side(tokens: int, axes: int, width: int) -> Any:
        starts = torch.arange(tokens).float().expand(1, axes, tokens)
        return Modality(
            latent=torch.randn(1, tokens, 128),
            sigma=torch.tensor([0.7]),
            timesteps=torch.full((1, tokens), 0.7),
            positions=torch.stack([starts, starts + 1], dim=-1),
            context=torch.randn(1, 5, width),
            enabled=True,
            context_mask=None,
        )

    with torch.inference_mode():
        video, audio = model(side(8, 3, 128), side(1, 1, 64), BatchedPerturbationConfig.empty(1))
    assert video.shape == (1, 8, 128)
    assert audio.shape == (1, 1, 128)
    assert torch.isfinite(video).all()
    assert torch.isfinite(audio).all()


def test_its_file_is_known_as_ltx_2_3(model: Any, tmp_path: Path) -> None:
    """By the farm's own reading of headers."""
    import json

    from safetensors.torch import save_file

    from jobs.weights.describe import describe

    path = tmp_path / "reduced.safetensors"
    tensors = {f"model.diffusion_model.{name}": t.contiguous() for name, t in model.state_dict().items()}
    save_file(tensors, path, metadata={"config": json.dumps({"transformer": REDUCED_2_3})})
    found = describe(path)
    assert (found.family, found.version) == ("ltx-2", "2.3")
