"""Latent upsamplers of LTX-2 beside ltx-core's, on files named as the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest
from fidelity import difference

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]


@pytest.mark.parametrize(("spread", "scale"), [(9, 1.5), (4, 2.0)])
def test_one_that_shrinks_again_what_it_has_spread(spread: int, scale: float, tmp_path: Path) -> None:
    pytest.importorskip("ltx_pipelines", reason="needs the environment of `make test-reference-comfyui`")
    import torch
    from ltx_core.model.upsampler import LatentUpsamplerConfigurator
    from safetensors.torch import load_file

    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.components import upsampler_component
    from tests.official.upsamplers import write_rational

    path = write_rational(tmp_path / "upsampler.safetensors", spread)
    sizes = {"mid_channels": 32, "num_blocks_per_stage": 1, "dims": 3}
    theirs = LatentUpsamplerConfigurator.from_config(
        {**sizes, "spatial_scale": scale, "rational_resampler": True}
    )
    theirs.load_state_dict(load_file(path))
    ours = upsampler_component(Checkpoint.open(path)).load(torch.float32)
    latents = torch.randn(1, 128, 3, 4, 6, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        made, wanted = ours(latents), theirs(latents)
    assert made.shape[3:] == (4 * scale, 6 * scale)
    assert difference(made, wanted) <= 1e-6
