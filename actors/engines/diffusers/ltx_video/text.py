"""Prompt encoders: the tiny model's own, and T5 for real checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from actors.engines.diffusers.ltx_video.encoders import load_encoder
from actors.engines.diffusers.streamed import blocks_of, stream_blocks
from actors.models.t5_words import T5_TOKENS
from actors.models.tiny_words import PromptRefused, TinyTokenizer
from jobs.errors import CannotRun, InvalidInput
from jobs.places import shown

if TYPE_CHECKING:
    from actors.models.tiny_text import TinyTextEncoder


class PromptEncoder(Protocol):
    """Embeddings `[1, S, D]` and mask `[1, S]` (bool) of a prompt."""

    def encode(self, prompt: str) -> tuple[Tensor, Tensor]: ...

    def to(self, device: torch.device) -> None: ...

    def stream(self, device: torch.device) -> None: ...


class TinyPrompts:
    """The bundled model's closed vocabulary."""

    def __init__(self, tokenizer: TinyTokenizer, encoder: TinyTextEncoder) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder

    def encode(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Raises `InvalidInput` for a word that the model does not know."""
        try:
            ids = torch.tensor(self.tokenizer.batch([prompt]))
        except PromptRefused as error:
            raise InvalidInput(f"prompt {shown(prompt)}: {error}") from error
        return self.encoder(ids.to(self.encoder.position.device))

    def to(self, device: torch.device) -> None:
        self.encoder.to(device)

    def stream(self, device: torch.device) -> None:
        """It has room everywhere."""


class T5Prompts:
    """T5 encoder and tokenizer of a diffusers folder."""

    def __init__(self, tokenizer: Any, encoder: Any) -> None:
        self.tokenizer = tokenizer
        self.encoder = encoder

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> T5Prompts:
        """From `text_encoder/` and `tokenizer/` below `folder`; code and pickles in them are never loaded.

        Raises CannotRun where a package is missing, SpecError as `load_encoder`.
        """
        try:
            from transformers import AutoTokenizer, T5EncoderModel
        except ImportError as error:
            raise CannotRun(
                f"a T5 text encoder needs transformers and sentencepiece ({error}); "
                "pip install transformers sentencepiece"
            ) from error
        encoder = load_encoder(T5EncoderModel, folder / "text_encoder", dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", trust_remote_code=False)
        return cls(tokenizer, encoder)

    def encode(self, prompt: str) -> tuple[Tensor, Tensor]:
        tokens = self.tokenizer(
            [prompt],
            padding="max_length",
            max_length=T5_TOKENS,
            truncation=True,
            return_tensors="pt",
        )
        mask = tokens.attention_mask.bool()
        device = self.encoder.device
        embeddings = self.encoder(tokens.input_ids.to(device), attention_mask=mask.to(device))[0]
        return embeddings, mask

    def to(self, device: torch.device) -> None:
        self.encoder.to(device)

    def stream(self, device: torch.device) -> None:
        stream_blocks(blocks_of(self.encoder), device)
