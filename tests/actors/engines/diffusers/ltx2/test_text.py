"""Gemma from a folder: every state of a prompt that is padded on the left, through the connectors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actors.engines.diffusers.checkpoint import Checkpoint
from actors.engines.diffusers.ltx2 import components
from actors.engines.diffusers.ltx2.text import GEMMA_TOKENS, GemmaStates, Prompts
from tests.official.ltx2_files import write_narrow

BOS = 2


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Gemma of two layers, 64 wide, that knows a few words."""
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")

    folder = tmp_path_factory.mktemp("gemma")
    words = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3, "a": 4, "red": 5, "ball": 6}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    special = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=plain, **special).save_pretrained(folder)
    config = transformers.Gemma3TextConfig(
        vocab_size=8, hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=32,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.Gemma3TextModel(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("version", ["2.0", "2.3"])
def test_a_prompt_becomes_context(version: str, gemma: Path, tmp_path: Path) -> None:
    opened = Checkpoint.open(write_narrow(tmp_path / "narrow.safetensors", version))
    connectors = components.connectors_component(opened).load(torch.float32)
    prompts = Prompts(GemmaStates.load(gemma, torch.float32), connectors)
    with torch.inference_mode():
        states, mask = prompts.encoder.states("a red ball")
        context, other = prompts.context("a red ball"), prompts.context("a ball")
    assert states.shape == (1, GEMMA_TOKENS, 64, 3)
    assert mask.sum() == 4
    assert mask[0, -4:].all(), "it is padded on the left"
    width = 64 if version == "2.0" else 128
    assert context.video.shape == (1, GEMMA_TOKENS, width)
    assert context.audio.shape == (1, GEMMA_TOKENS, 64)
    assert context.mask is not None
    assert context.mask.all(), "registers take the place of the padding"
    assert not torch.equal(context.video, other.video)


@pytest.mark.parametrize("writes", [True, False], ids=["Gemma 3", "Gemma 4"])
def test_a_prompt_begins_with_its_mark_once(writes: bool, gemma: Path) -> None:
    """Whether the tokenizer writes it or not."""
    from tokenizers.processors import TemplateProcessing

    encoder = GemmaStates.load(gemma, torch.float32)
    if writes:
        template = TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", BOS)])
        encoder.tokenizer.backend_tokenizer.post_processor = template
    with torch.inference_mode():
        states, mask = encoder.states("a red ball")
        beginning = encoder.model.embed_tokens(torch.tensor([[BOS]]))
    assert mask.sum() == 4
    assert torch.equal(states[:, -4:-3, :, 0], beginning)
    with torch.inference_mode():
        _, full = encoder.states("a " * 2000)
    assert full.sum() == GEMMA_TOKENS
