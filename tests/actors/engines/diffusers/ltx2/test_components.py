"""LTX-2 files laid out like the published ones, at full width: no tensor is missing or left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.engines.diffusers.checkpoint import Checkpoint, Component
from actors.engines.diffusers.configs import UnsupportedCheckpoint
from actors.engines.diffusers.ltx2.components import (
    audio_vae_component,
    connectors_component,
    temporal_upsampler_component,
    transformer_component,
    upsampler_component,
    vae_component,
    vocoder_component,
)
from actors.engines.diffusers.ltx2.together import Together
from tests.official.files import write_sparse
from tests.official.ltx2_files import PREFIX, VERSIONS, metadata, shapes, write_narrow, write_single_file
from tests.official.upsamplers import write_rational, write_temporal

MAKERS = (
    transformer_component,
    connectors_component,
    vae_component,
    audio_vae_component,
    vocoder_component,
)
SIZES = {
    ("2.0", "transformer"): 18.9,
    ("2.3", "transformer"): 19.0,
    ("2.3", "text projection"): 3.2,
    ("2.3", "vae"): 0.73,
}
"""Billions of parameters of published parts."""


@pytest.fixture(autouse=True)
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules without first weights, which would take most of the time: those of the file replace them."""
    from torch import nn

    for kind in (nn.Linear, nn.modules.conv._ConvNd):
        monkeypatch.setattr(kind, "reset_parameters", lambda _: None)


def components(path: Path) -> Iterator[Component]:
    checkpoint = Checkpoint.open(path)
    return (make(checkpoint) for make in MAKERS)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_tensor_has_its_place_with_and_without_config(version: str, tmp_path: Path) -> None:
    built: list[list[dict[str, Any]]] = []
    for told in (True, False):
        path, used = write_single_file(tmp_path / f"{told}.safetensors", version, told), set()
        built.append([])
        for component in components(path):
            module = component.empty()
            used |= {component.stored[name] for name in module.state_dict()}
            built[-1].append(dict(module.config))
            count = sum(tensor.numel() for tensor in module.parameters()) / 1e9
            assert count == pytest.approx(SIZES.get((version, component.what), count), abs=0.1)
        assert used == set(shapes(version))
    assert built[0] == built[1]


@pytest.mark.parametrize(
    ("make", "prefixes"),
    [
        (transformer_component, (PREFIX,)),
        (vae_component, ("vae.",)),
        (audio_vae_component, ("audio_vae.",)),
        (vocoder_component, ("vocoder.",)),
    ],
    ids=["transformer", "vae", "audio_vae", "vocoder"],
)
def test_parts_load_with_and_without_their_prefix(
    make: Callable[[Checkpoint], Component], prefixes: tuple[str, ...], tmp_path: Path
) -> None:
    for bare in (False, True):
        entries = {
            key.removeprefix(prefixes[0]) if bare else key: ("BF16", shape)
            for key, shape in shapes("2.3", "narrow").items()
            if key.startswith(prefixes)
        }
        path = write_sparse(tmp_path / f"{bare}.safetensors", entries)
        assert len(make(Checkpoint.open(path)).empty().state_dict()) > 50


@pytest.mark.parametrize(
    ("key", "shape", "said"),
    [
        (f"{PREFIX}proj_out.bias", None, "proj_out.bias of this transformer is missing"),
        (f"{PREFIX}extra.weight", (2, 2), "extra.weight is no tensor of an LTX-2 transformer"),
        (f"{PREFIX}proj_out.bias", (64,), r"proj_out.bias is \[64\], and \[128\]"),
        ("vae.decoder.extra.weight", (2,), "vae.decoder.extra.weight is no tensor of an LTX-2 vae"),
        ("vocoder.extra", (2,), "vocoder.extra is no tensor of an LTX-2 vocoder"),
    ],
)
def test_a_file_that_does_not_fit_says_where(
    key: str, shape: tuple[int, ...] | None, said: str, tmp_path: Path
) -> None:
    entries = {name: ("BF16", size) for name, size in shapes("2.3", "narrow").items()}
    entries.pop(key, None)
    if shape is not None:
        entries[key] = ("BF16", shape)
    path = write_sparse(tmp_path / "m.safetensors", entries, metadata("2.3", "narrow"))
    with pytest.raises(UnsupportedCheckpoint, match=said):
        _ = [component.empty() for component in components(path)]


@pytest.mark.parametrize("version", VERSIONS)
def test_weights_arrive_whole(version: str, tmp_path: Path) -> None:
    """Nothing is left on the meta device, and each tensor is that of the file."""
    import torch
    from safetensors.torch import load_file

    path = write_narrow(tmp_path / "m.safetensors", version)
    stored = load_file(path)
    for component in components(path):
        module = component.load(torch.float32)
        assert not any(tensor.is_meta for tensor in (*module.parameters(), *module.buffers()))
        for name, tensor in module.state_dict().items():
            assert torch.equal(tensor, stored[component.stored[name]]), name


def test_scaled_fp8_weights_are_brought_back(tmp_path: Path) -> None:
    """Each with its own scale, as ComfyUI's core writes them."""
    import torch
    from safetensors.torch import load_file, save_file

    plain = load_file(write_narrow(tmp_path / "m.safetensors", "2.3"))
    scaled, wanted = {}, {}
    for key, tensor in plain.items():
        if not key.startswith(f"{PREFIX}transformer_blocks.") or tensor.ndim != 2 or ".to_" not in key:
            scaled[key] = tensor
            continue
        scale = tensor.abs().max() / 448
        scaled[key] = (tensor / scale).to(torch.float8_e4m3fn)
        scaled[key.removesuffix("weight") + "weight_scale"] = scale
        wanted[key] = scaled[key].float() * scale
    path = tmp_path / "fp8.safetensors"
    save_file(scaled, path, metadata=metadata("2.3", "narrow"))
    component = transformer_component(Checkpoint.open(path))
    state = component.load(torch.float32).state_dict()
    names = {key: name for name, key in component.stored.items()}
    assert wanted
    assert all(torch.equal(state[names[key]], tensor) for key, tensor in wanted.items())


def test_a_folder_of_diffusers(tmp_path: Path) -> None:
    import torch

    path = write_narrow(tmp_path / "m.safetensors", "2.3")
    for component, make in zip(components(path), MAKERS, strict=True):
        module = component.load(torch.float32)
        folder = tmp_path / make.__name__
        module.save_pretrained(folder)
        again = make(Checkpoint.open(folder)).load(torch.float32).state_dict()
        assert all(torch.equal(tensor, again[name]) for name, tensor in module.state_dict().items())


def test_connectors_and_projection_of_two_files(tmp_path: Path) -> None:
    """As LTX-2.5 is published: connectors beside the transformer, the projection beside its text encoder."""
    import torch
    from safetensors.torch import load_file, save_file

    tensors = load_file(write_narrow(tmp_path / "m.safetensors", "2.5"))
    whole = connectors_component(Checkpoint.open(tmp_path / "m.safetensors")).load(torch.float32)
    inside = {key.removeprefix(PREFIX): tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
    beside = {key: tensor for key, tensor in tensors.items() if key.startswith("text_embedding_projection.")}
    paths = [tmp_path / "transformer.safetensors", tmp_path / "gemma.safetensors"]
    save_file(inside, paths[0], metadata=metadata("2.5", "narrow"))
    save_file({**beside, "model.embed_tokens.weight": torch.zeros(2, 2)}, paths[1])
    found = connectors_component(Together.open_all(paths)).load(torch.float32)
    assert all(torch.equal(tensor, found.state_dict()[name]) for name, tensor in whole.state_dict().items())
    assert dict(found.config) == dict(whole.config)
    with pytest.raises(UnsupportedCheckpoint, match="holds no LTX-2 text projection"):
        connectors_component(Checkpoint.open(paths[0]))


def test_an_upsampler_fits_one_use(tmp_path: Path) -> None:
    """One in space and one in time have names and files alike."""
    space = Checkpoint.open(write_rational(tmp_path / "space.safetensors"))
    time = Checkpoint.open(write_temporal(tmp_path / "time.safetensors"))
    assert upsampler_component(space).empty().spatial_upsample
    assert temporal_upsampler_component(time).empty().temporal_upsample
    with pytest.raises(UnsupportedCheckpoint, match=r"time.safetensors does not upsample in space alone"):
        upsampler_component(time)
    with pytest.raises(UnsupportedCheckpoint, match=r"space.safetensors does not upsample in time alone"):
        temporal_upsampler_component(space)


@pytest.mark.parametrize(("space", "time"), [(True, False), (False, True)])
def test_an_upsampler_in_a_folder_of_diffusers(space: bool, time: bool, tmp_path: Path) -> None:
    from diffusers.pipelines.ltx2.latent_upsampler import LTX2LatentUpsamplerModel

    sizes = {"mid_channels": 32, "num_blocks_per_stage": 1}
    LTX2LatentUpsamplerModel(**sizes, spatial_upsample=space, temporal_upsample=time).save_pretrained(
        tmp_path
    )
    fits, other = ("temporal_latent_upsampler", "latent_upsampler")[:: 1 if time else -1]
    opened = Checkpoint.open(tmp_path)
    made = upsampler_component(opened, fits).load(None)
    assert (made.spatial_upsample, made.temporal_upsample) == (space, time)
    with pytest.raises(UnsupportedCheckpoint, match="alone"):
        upsampler_component(opened, other)
