"""Components from files of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from actors.engines.diffusers.files import ModelFiles
from actors.engines.diffusers.ltx_video.loading import Loader
from actors.engines.diffusers.ltx_video.text import T5Prompts
from actors.models.t5_words import T5_TOKENS
from jobs.errors import SpecError


def _files(checkpoint: Path, **more: Any) -> ModelFiles:
    return ModelFiles(
        checkpoint, **{"vae": None, "text_encoder": None, "upscale_model": None, "loras": (), **more}
    )


def _part(checkpoint: Path, prefix: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    with safe_open(checkpoint, framework="pt") as file:
        tensors = {k[len(prefix) :]: file.get_tensor(k) for k in file.keys() if k.startswith(prefix)}  # noqa: SIM118
        return tensors, json.loads(file.metadata()["config"])


@pytest.mark.parametrize("prefix", ["", "vae."])
def test_a_vae_in_a_file_of_its_own(small_ltx_video: Path, tmp_path: Path, prefix: str) -> None:
    tensors, config = _part(small_ltx_video, "vae.")
    metadata = {"config": json.dumps({"vae": config["vae"]})}
    save_file(
        {prefix + name: tensor for name, tensor in tensors.items()}, tmp_path / "vae.safetensors", metadata
    )
    alone = Loader(_files(small_ltx_video, vae=tmp_path / "vae.safetensors"), torch.float32).codec()
    inside = Loader(_files(small_ltx_video), torch.float32).codec()
    latents = torch.randn(1, 128, 2, 1, 1)
    with torch.inference_mode():
        np.testing.assert_array_equal(alone.decode(latents), inside.decode(latents))


def test_an_upsampler_in_a_file_of_its_own(small_ltx_video: Path, tmp_path: Path) -> None:
    tensors, config = _part(small_ltx_video, "latent_upsampler.")
    path = tmp_path / "upsampler.safetensors"
    save_file(tensors, path, {"config": json.dumps(config["latent_upsampler"])})
    model = Loader(_files(small_ltx_video, upscale_model=path), torch.float32).upsampler()
    with torch.inference_mode():
        assert model(torch.randn(1, 128, 1, 2, 2)).shape == (1, 128, 1, 4, 4)


def test_a_checkpoint_without_an_upsampler_says_so(small_ltx_video: Path, tmp_path: Path) -> None:
    with safe_open(small_ltx_video, framework="pt") as file:
        config = json.loads(file.metadata()["config"])
        tensors = {k: file.get_tensor(k) for k in file.keys() if not k.startswith("latent_upsampler")}  # noqa: SIM118
    for name in ("latent_upsampler", "text_encoder"):
        del config[name]
    path = tmp_path / "plain.safetensors"
    save_file(tensors, path, {"config": json.dumps(config)})
    loader = Loader(_files(path), torch.float32)
    with pytest.raises(SpecError, match=r"engine\.upscale_model"):
        loader.upsampler()
    with pytest.raises(SpecError, match=r"engine\.text_encoder"):
        loader.prompts()


def test_half_precision_leaves_the_vae_in_full(small_ltx_video: Path) -> None:
    loader = Loader(_files(small_ltx_video), torch.float16)
    assert loader.codec().vae.dtype == torch.float32
    assert loader.denoising().transformer.dtype == torch.float16


def test_t5_from_a_diffusers_folder(tmp_path: Path) -> None:
    """A very small T5 with a word tokenizer stands for the real one."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "harbor": 4, "at": 5, "dawn": 6}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    fast.save_pretrained(tmp_path / "tokenizer")
    config = transformers.T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    transformers.T5EncoderModel(config).save_pretrained(tmp_path / "text_encoder")
    prompts = T5Prompts.load(tmp_path, torch.float32)
    with torch.inference_mode():
        embeddings, mask = prompts.encode("a harbor at dawn")
        other, _ = prompts.encode("a harbor")
    assert embeddings.shape == (1, T5_TOKENS, 16)
    assert mask.dtype == torch.bool
    assert int(mask.sum()) == 4
    assert not torch.equal(embeddings[:, :2], other[:, :2])
