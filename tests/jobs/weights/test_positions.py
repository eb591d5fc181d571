"""How a model counts frames, from what its files say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from jobs.weights.positions import counts_causally

sys.path.append(str(Path(__file__).parents[2] / "official"))

from files import (
    LAYOUTS,
    RELEASES,
    Release,
    config_of,
    transformer_shapes,
    vae_shapes,
    write_release,
    write_sparse,
)


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("name", RELEASES)
def test_published_files_say_it_themselves(name: str, metadata: bool, tmp_path: Path) -> None:
    """Also without metadata, by their size or their VAE."""
    wanted = RELEASES[name].version >= "0.9.5"
    path = write_release(tmp_path, name, metadata)
    assert counts_causally(path, path) is wanted


@pytest.mark.parametrize("vae", LAYOUTS["vaes"])
def test_a_transformer_alone_is_known_by_its_vae(vae: str, tmp_path: Path) -> None:
    transformer = write_sparse(
        tmp_path / "transformer.safetensors",
        {name: ("BF16", shape) for name, shape in transformer_shapes("2b").items()},
    )
    beside = {f"vae.{name}": ("BF16", shape) for name, shape in vae_shapes(vae).items()}
    assert counts_causally(transformer, transformer) is None
    assert counts_causally(transformer, write_sparse(tmp_path / "vae.safetensors", beside)) is (
        vae >= "0.9.5"
    )


def test_metadata_without_the_entry_is_of_before(tmp_path: Path) -> None:
    release = Release("2b", "0.9.0", "0.9.0")
    tensors = {name: ("BF16", shape) for name, shape in transformer_shapes("2b").items()}
    path = write_sparse(tmp_path / "transformer.safetensors", tensors, config_of(release))
    assert counts_causally(path, path) is False
