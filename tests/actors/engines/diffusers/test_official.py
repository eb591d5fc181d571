"""Files laid out like the published ones, at full width: no tensor is missing, and none is left over."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.files import ModelFiles
from actors.engines.diffusers.ltx_video.checkpoint import (
    transformer_component,
    upsampler_component,
    vae_component,
)
from actors.engines.diffusers.ltx_video.loading import Loader
from tests.official.files import (
    LAYOUTS,
    RELEASES,
    config_of,
    single_file,
    upsampler_shapes,
    write_release,
    write_sparse,
)

Make = Callable[[Checkpoint], Component]


ONE_OF_EACH_LAYOUT = sorted({release[:2]: name for name, release in RELEASES.items()}.values())


@pytest.mark.parametrize("metadata", [True, False], ids=["config", "no config"])
@pytest.mark.parametrize("name", ONE_OF_EACH_LAYOUT)
def test_every_release_fills_its_modules(name: str, metadata: bool, tmp_path: Path) -> None:
    checkpoint = Checkpoint.open(write_release(tmp_path, name, metadata))
    release = RELEASES[name]
    for make, prefix in ((transformer_component, "model.diffusion_model."), (vae_component, "vae.")):
        module = make(checkpoint).empty()
        stored = [key for key in single_file(release) if key.startswith(prefix)]
        unused = 3 if prefix == "vae." else 0
        assert len(module.state_dict()) == len(stored) - unused


@pytest.mark.parametrize("version", LAYOUTS["vaes"])
def test_a_vae_is_built_alike_with_and_without_a_config(version: str, tmp_path: Path) -> None:
    name = next(name for name, release in RELEASES.items() if release.vae == version)
    told, inferred = (
        dict(vae_component(Checkpoint.open(write_release(tmp_path, name, metadata))).empty().config)
        for metadata in (True, False)
    )
    assert told == inferred


def test_the_spatial_upscaler(tmp_path: Path) -> None:
    entries = {key: ("BF16", shape) for key, shape in upsampler_shapes("spatial").items()}
    path = write_sparse(tmp_path / "up.safetensors", entries)
    module = upsampler_component(Checkpoint.open(path)).empty()
    assert module.state_dict().keys() == entries.keys()
    assert module.config.spatial_upsample
    assert not module.config.temporal_upsample


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.diffusion_model.proj_out.bias": None}, "proj_out.bias of this transformer is missing"),
        ({"model.diffusion_model.extra.weight": (2, 2)}, "extra.weight is no tensor of an LTX-Video"),
        ({"model.diffusion_model.proj_out.bias": (64,)}, r"proj_out.bias is \[64\], and \[128\]"),
    ],
)
def test_a_file_that_does_not_fit_says_where(
    change: dict[str, tuple[int, ...] | None], said: str, tmp_path: Path
) -> None:
    entries = single_file(RELEASES["ltx-video-2b-v0.9.5.safetensors"])
    for key, shape in change.items():
        entries.pop(key, None)
        if shape is not None:
            entries[key] = ("BF16", shape)
    component = transformer_component(Checkpoint.open(write_sparse(tmp_path / "m.safetensors", entries)))
    with pytest.raises(UnsupportedCheckpoint, match=said):
        component.empty()


@pytest.mark.parametrize(
    ("what", "config"),
    [
        ("transformer", 3),
        ("transformer", {"num_layers": "x"}),
        ("vae", {"decoder_blocks": 5}),
    ],
)
def test_a_config_of_other_types_is_said_at_its_place(what: str, config: Any, tmp_path: Path) -> None:
    release = RELEASES["ltx-video-2b-v0.9.5.safetensors"]
    configs = json.loads(config_of(release)["config"])
    configs[what] = {**configs[what], **config} if isinstance(config, dict) else config
    entries = single_file(release)
    path = write_sparse(tmp_path / "m.safetensors", entries, {"config": json.dumps(configs)})
    (problem,) = Loader(ModelFiles(path, None, None, None, ()), torch.float32).misfits()
    assert problem.place == "engine.checkpoint"
    assert f"the config of its {what} cannot be read" in problem.rule
