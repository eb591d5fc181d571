"""The ways in which a model is stored: each loads as the weights that it was made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.files import ModelFiles, find_files
from actors.engines.diffusers.ltx_video.checkpoint import load_transformer, load_vae
from actors.engines.diffusers.ltx_video.loading import Loader
from jobs.errors import CannotRun, SpecError
from jobs.spec.engine import EngineConfig
from tests.official.ltx_video_files import CONFIG, write_small
from tests.official.quantised import KINDS, PREFIX, READ, write_gguf, write_quantised

LAYER = "transformer_blocks.0.attn1.to_q"
REVISION = "0123456789012345678901234567890123456789"


def loader(checkpoint: Path, dtype: torch.dtype = torch.float32, **more: Any) -> Loader:
    given = {"vae": None, "text_encoder": None, "upscale_model": None, "loras": (), **more}
    return Loader(ModelFiles(checkpoint, **given), dtype)


def weights(checkpoint: Path, **more: Any) -> dict[str, torch.Tensor]:
    loaded = loader(checkpoint, **more)
    component = loaded.transformer()
    return component.load(loaded.dtype).state_dict()


@pytest.fixture(scope="module")
def plain(small_ltx_video: Path) -> dict[str, torch.Tensor]:
    return weights(small_ltx_video)


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_quantised_weights_are_scaled_back(
    kind: str, dtype: torch.dtype, small_ltx_video: Path, tmp_path: Path, plain: dict[str, torch.Tensor]
) -> None:
    path = write_quantised(small_ltx_video, tmp_path / "q.safetensors", kind)
    found = weights(path, dtype=dtype)
    assert {tensor.dtype for tensor in found.values()} == {dtype}
    error = max(((found[name].float() - plain[name]).norm() / plain[name].norm()).item() for name in plain)
    assert error < (0.09 if "e5m2" in kind else 0.04)
    tensors = load_file(path)
    stored = tensors[f"{PREFIX}{LAYER}.weight"].to(dtype)
    for ending in ("scale_weight", "weight_scale"):
        scale = tensors.get(f"{PREFIX}{LAYER}.{ending}")
        stored = stored if scale is None else stored * scale.to(dtype)
    assert torch.equal(found[f"{LAYER}.weight"], stored)


@pytest.mark.parametrize("kind", [name for name in KINDS if name not in READ])
def test_what_is_not_read_is_refused(kind: str, small_ltx_video: Path, tmp_path: Path) -> None:
    path = write_quantised(small_ltx_video, tmp_path / "q.safetensors", kind)
    with pytest.raises(SpecError, match=r"(does not read|read by no engine)[\s\S]*use the bfloat16"):
        loader(path).transformer()


@pytest.fixture(scope="module")
def published_heads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with as many heads as the published ones, which a file without a config must have."""
    heads = {"num_attention_heads": 32, "attention_head_dim": 2, "cross_attention_dim": 64}
    config = {**CONFIG, "transformer": {**CONFIG["transformer"], **heads}}
    return write_small(tmp_path_factory.mktemp("heads") / "model.safetensors", config)


@pytest.mark.parametrize("kind", ["Q8_0", "Q5_1", "Q4_0"])
def test_gguf(kind: str, published_heads: Path, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = write_gguf(published_heads, tmp_path / "m.gguf", kind)
    found = weights(path, vae=published_heads)
    assert found.keys() == weights(published_heads).keys()
    assert loader(path, vae=published_heads).misfits() == []
    for tensor in gguf.GGUFReader(path).tensors:
        if tensor.name == f"{LAYER}.weight":
            wanted = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            torch.testing.assert_close(found[f"{LAYER}.weight"], torch.from_numpy(wanted))
            break
    else:
        pytest.fail("the layer is not there")


def test_gguf_without_its_package(
    published_heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf")
    path = write_gguf(published_heads, tmp_path / "m.gguf")
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(CannotRun, match=r"pip install 'ltx-farm\[gguf\]'"):
        weights(path, vae=published_heads)


@pytest.fixture(scope="module")
def folder(small_ltx_video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A diffusers folder whose transformer comes in shards."""
    folder = tmp_path_factory.mktemp("folder")
    opened = Checkpoint.open(small_ltx_video)
    load_transformer(opened).save_pretrained(folder / "transformer", max_shard_size="60KB")
    load_vae(opened).save_pretrained(folder / "vae")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "LTXConditionPipeline"}))
    assert len(list((folder / "transformer").glob("*.safetensors"))) > 1
    return folder


@pytest.mark.parametrize("named", ["", "transformer"])
def test_a_folder_in_shards(named: str, folder: Path, plain: dict[str, torch.Tensor]) -> None:
    found = weights(folder / named)
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert loader(folder / named, vae=folder).vae().empty() is not None
    assert loader(folder / named, vae=folder).files.counts_causally()


def test_a_folder_with_a_tensor_too_many_is_refused(folder: Path, tmp_path: Path) -> None:
    """Diffusers' own loader logs a warning, and goes on."""
    copy = tmp_path / "vae"
    copy.mkdir()
    (copy / "config.json").write_bytes((folder / "vae" / "config.json").read_bytes())
    name = "diffusion_pytorch_model.safetensors"
    with safe_open(folder / "vae" / name, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    save_file({**tensors, "decoder.extra": torch.zeros(1)}, copy / name)
    (problem,) = loader(folder, vae=copy).misfits()
    assert problem.place == "engine.vae"
    assert "decoder.extra is no tensor" in problem.rule
    del tensors["latents_std"]
    save_file(tensors, copy / name)
    (problem,) = loader(folder, vae=copy).misfits()
    assert "latents_std of this vae is missing" in problem.rule


@pytest.fixture
def hub(folder: Path, tmp_path: Path) -> Path:
    """A cache of downloads: blobs, and a snapshot of links to them."""
    repository = tmp_path / "hub" / "models--owner--ltxv"
    (repository / "blobs").mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(REVISION)
    for number, file in enumerate(sorted(file for file in folder.rglob("*") if file.is_file())):
        blob = repository / "blobs" / f"{number:064x}"
        blob.write_bytes(file.read_bytes())
        link = repository / "snapshots" / REVISION / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(os.path.relpath(blob, link.parent))
    return repository


def test_a_hub_cache_offline(hub: Path) -> None:
    """The hub's client reads its settings when it is imported: a process of its own."""
    lines = (
        "from actors.engines.diffusers.files import find_files",
        "from jobs.spec.engine import EngineConfig",
        "print(find_files(EngineConfig(checkpoint='owner/ltxv')).checkpoint)",
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(hub.parent)}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip().endswith(REVISION), done.stderr
    assert loader(Path(done.stdout.strip())).misfits() == []


def test_a_hub_cache_by_its_path(hub: Path, plain: dict[str, torch.Tensor]) -> None:
    files = find_files(EngineConfig(checkpoint=str(hub)))
    assert files.checkpoint.name == REVISION
    found = weights(files.checkpoint)
    assert all(torch.equal(found[name], plain[name]) for name in plain)


def test_parts_in_files_of_their_own(
    small_ltx_video: Path, tmp_path: Path, plain: dict[str, torch.Tensor]
) -> None:
    with safe_open(small_ltx_video, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        config = json.loads(file.metadata()["config"])
    own = {key.removeprefix(PREFIX): t for key, t in tensors.items() if key.startswith(PREFIX)}
    alone = tmp_path / "transformer.safetensors"
    save_file(own, alone, {"config": json.dumps({"transformer": config["transformer"]})})
    files = find_files(EngineConfig(diffusion_model=str(alone), vae=str(small_ltx_video)))
    found = weights(files.checkpoint, diffusion_model=files.diffusion_model)
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    assert files.counts_causally()
    assert files.digests()["sample"]["transformer"] != files.digests()["decode"]["vae"]


def test_frames_are_counted_as_the_vae_of_the_release_does(small_ltx_video: Path, tmp_path: Path) -> None:
    """A transformer of 2B alone and without a config does not say it."""
    with safe_open(small_ltx_video, framework="pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys() if key.startswith(PREFIX)}  # noqa: SIM118
    alone = tmp_path / "transformer.safetensors"
    save_file(tensors, alone)
    assert loader(alone, vae=small_ltx_video).files.counts_causally()
    with pytest.raises(SpecError, match=r"engine\.vae[\s\S]*name the VAE of the same release"):
        loader(alone).files.counts_causally()
