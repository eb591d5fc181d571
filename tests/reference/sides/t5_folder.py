"""A small T5 with a vocabulary of its own, in the folders that published models come in."""

from __future__ import annotations

import io
import json
from pathlib import Path

import sentencepiece
import torch
from transformers import T5Config, T5EncoderModel

ROOT = Path(__file__).parents[3]


def write_encoder(folder: Path, vocabulary: int = 2000) -> Path:
    """`text_encoder/` with random weights, 64 wide, and `tokenizer/` with 2000 pieces of the project's own
    pages; `vocabulary` is what the encoder has room for."""
    _write_tokenizer(folder / "tokenizer")
    torch.manual_seed(9)
    config = T5Config(
        vocab_size=vocabulary,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
        is_encoder_decoder=False,
        tie_word_embeddings=False,
    )
    T5EncoderModel(config).save_pretrained(folder / "text_encoder")
    return folder


def _write_tokenizer(folder: Path) -> None:
    folder.mkdir(parents=True)
    sentences = [line for page in sorted(ROOT.glob("docs/*.md")) for line in page.read_text().splitlines()]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=2000,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    (folder / "spiece.model").write_bytes(model.getvalue())
    options = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(options))
