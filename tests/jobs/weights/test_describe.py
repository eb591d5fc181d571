"""What a file is, told by headers like the published ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.models import TINY_CHECKPOINT
from jobs.weights.describe import describe
from jobs.weights.header import WeightsFault
from tests.official.files import (
    RELEASES,
    config_of,
    single_file,
    transformer_shapes,
    upsampler_shapes,
    vae_shapes,
    write_release,
    write_sparse,
)


@pytest.mark.parametrize("name", RELEASES)
def test_every_release_is_known(name: str, tmp_path: Path) -> None:
    found, release = describe(write_release(tmp_path, name)), RELEASES[name]
    assert found.parts == {"transformer", "vae"}
    assert (found.family, found.version, found.numbers) == ("ltx-video", release.version, "bfloat16")
    assert found.size == ("13b" if release.transformer == "13b" else "2b")
    assert found.distilled == release.distilled


@pytest.mark.parametrize("name", RELEASES)
def test_without_metadata_and_name_the_layout_says_what_it_can(name: str, tmp_path: Path) -> None:
    release = RELEASES[name]
    found = describe(write_sparse(tmp_path / "model.safetensors", single_file(release)))
    first = "0.9.7" if release.transformer == "13b" else release.vae
    assert (found.version, found.variant) == (first, "dev")


def test_a_name_that_the_layout_contradicts_counts_for_nothing(tmp_path: Path) -> None:
    entries = single_file(RELEASES["ltxv-2b-0.9.8-distilled.safetensors"])
    assert describe(write_sparse(tmp_path / "ltx-video-0.9.1.safetensors", entries)).version == "0.9.5"


@pytest.mark.parametrize("prefix", ["", "model.diffusion_model.", "diffusion_model."])
def test_a_transformer_alone(prefix: str, tmp_path: Path) -> None:
    entries = {prefix + name: ("BF16", shape) for name, shape in transformer_shapes("13b").items()}
    found = describe(write_sparse(tmp_path / "unet.safetensors", entries))
    assert (found.parts, found.family, found.size) == (frozenset({"transformer"}), "ltx-video", "13b")


def test_parts_alone(tmp_path: Path) -> None:
    vae = {name: ("F32", shape) for name, shape in vae_shapes("0.9.1").items()}
    found = describe(write_sparse(tmp_path / "vae.safetensors", vae))
    assert (found.parts, found.version, found.numbers) == (frozenset({"vae"}), "0.9.1", "float32")
    upsampler = {name: ("BF16", shape) for name, shape in upsampler_shapes("spatial").items()}
    assert describe(write_sparse(tmp_path / "up.safetensors", upsampler)).parts == {"latent_upsampler"}


def test_sound_makes_it_ltx_2(tmp_path: Path) -> None:
    release = RELEASES["ltxv-2b-0.9.8-distilled.safetensors"]
    entries = single_file(release)
    sound = {"model.diffusion_model.audio_adaln_single.linear.weight": ("BF16", (8, 8))}
    found = describe(write_sparse(tmp_path / "ltx-2-19b-dev.safetensors", {**entries, **sound}))
    assert (found.family, found.version, found.size) == ("ltx-2", "2.0", "")
    gates = {"model.diffusion_model.transformer_blocks.0.attn1.to_gate_logits.weight": ("BF16", (8, 8))}
    path = write_sparse(tmp_path / "model.safetensors", {**entries, **sound, **gates})
    assert describe(path).version == "2.3"
    metadata = {"model_version": "2.3-rc1", **config_of(release)}
    path = write_sparse(tmp_path / "other.safetensors", {**entries, **sound}, metadata)
    assert describe(path).version == "2.3"


def test_the_bundled_model() -> None:
    found = describe(TINY_CHECKPOINT)
    assert found.parts == {"transformer", "vae", "text_encoder", "latent_upsampler", "audio_vae"}
    assert (found.family, found.version, found.numbers) == ("ltx-2", "2.5", "float16")


def test_a_file_that_was_not_copied_whole_says_so(tmp_path: Path) -> None:
    path = write_release(tmp_path, "ltxv-2b-0.9.8-distilled.safetensors")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 1)
    with pytest.raises(WeightsFault, match="not copied whole"):
        describe(path)
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(WeightsFault, match="is empty"):
        describe(tmp_path / "empty.safetensors")
