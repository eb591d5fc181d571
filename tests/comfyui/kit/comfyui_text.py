"""Text encoders of LTX-2's kind, reduced: Gemma 3 and Gemma 4 with random weights, their tokenizers, and the
projection."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from comfyui_checkpoints import PROJECTED, _random, _write
from safetensors.torch import save_file

if TYPE_CHECKING:
    import pytest

WIDTH, LAYERS = 64, 48
SENTENCES = ("a red ball bounces over a teal background", "ugly low quality film", "the green triangle moves")


def shrink_gemma(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core builds Gemma 3 from a configuration of its own, not from the file."""
    from comfy.text_encoders import llama

    vision = {"hidden_size": 32, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}

    @dataclasses.dataclass
    class Small(llama.Gemma3_12B_Config):
        vocab_size: int = 300
        hidden_size: int = WIDTH
        intermediate_size: int = WIDTH
        num_attention_heads: int = 2
        num_key_value_heads: int = 1
        head_dim = 32
        vision_config = {**llama.Gemma3_12B_Config.vision_config, **vision}  # noqa: RUF012

    monkeypatch.setattr(llama, "Gemma3_12B_Config", Small)


def shrink_gemma_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `shrink_gemma`, of LTX-2.5's."""
    from comfy.text_encoders import gemma4

    vision = {"model_patch_size": 48, "patch_size": 16, "mm_embed_dim": 8, "mm_posemb_size": 8}

    @dataclasses.dataclass
    class Small(gemma4.Gemma4_12B_Config):
        vocab_size: int = 300
        hidden_size: int = WIDTH
        intermediate_size: int = WIDTH
        num_attention_heads: int = 2
        num_key_value_heads: int = 1
        head_dim = 32
        global_head_dim = 32
        suppress_tokens = ()
        vision_config = {**gemma4.GEMMA4_UNIFIED_VISION_CONFIG, **vision, "output_proj_dims": 8}  # noqa: RUF012

    monkeypatch.setattr(gemma4, "Gemma4_12B_Config", Small)


def write_gemma_4(path: Path, **more: torch.Tensor) -> Path:
    """The encoder, with its tokenizer as core's files have it, and with `more` beside it."""
    import comfy.ops
    from comfy.text_encoders import gemma4

    whole = gemma4.Gemma4_12B({}, torch.float32, "cpu", comfy.ops.disable_weight_init)
    text = {name: part for name, part in _random(whole, "", 3).items() if name.startswith("model.")}
    save_file({**text, **more, "tokenizer_json": _tokenizer_4()}, path)
    return path


def write_gemma(path: Path) -> Path:
    """The encoder, with its tokenizer as core's files have it."""
    import comfy.ops
    from comfy.text_encoders import llama

    whole = llama.Gemma3_12B({}, torch.float32, "cpu", comfy.ops.disable_weight_init)
    tensors = {name: part for name, part in _random(whole, "", 3).items() if "vision_model" not in name}
    save_file({**tensors, "spiece_model": tokenizer()}, path)
    return path


def projection() -> dict[str, torch.Tensor]:
    """LTX-2.0's: one matrix over the states of all layers."""
    states = WIDTH * (LAYERS + 1)
    made = torch.randn(PROJECTED, states, generator=torch.Generator().manual_seed(5)) * states**-0.5
    return {"text_embedding_projection.aggregate_embed.weight": made}


def write_projection(path: Path) -> Path:
    save_file(projection(), path)
    return path


def write_transformer(path: Path, **more: torch.Tensor) -> Path:
    """A file that counts as LTX-2's transformer; with `more` beside it."""
    from actors.engines.comfyui.loading.model_kind import AUDIO_KEY

    return _write(path, {f"model.diffusion_model.{AUDIO_KEY}": torch.zeros(1), **more}, {})


def tokenizer() -> torch.Tensor:
    import sentencepiece

    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 30), model_writer=out, vocab_size=60, model_type="bpe",
        pad_id=0, eos_id=1, bos_id=2, unk_id=3, minloglevel=2,
    )  # fmt: skip
    return torch.tensor(list(out.getvalue()), dtype=torch.uint8)


def _tokenizer_4() -> torch.Tensor:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    made = Tokenizer(models.BPE(unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    made.train_from_iterator(SENTENCES, trainers.BpeTrainer(vocab_size=120, special_tokens=special))
    return torch.tensor(list(made.to_str().encode()), dtype=torch.uint8)


def encoded(core: Any, clip: Any, prompt: str) -> torch.Tensor:
    return core.call("CLIPTextEncode", clip=clip, text=prompt)[0][0][0]
