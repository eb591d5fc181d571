"""Prompts -> what LTX-2's transformer reads: a text encoder's states, then projections and connectors.

The context is kept and not the states of the encoder, which are thirty times as many numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from actors.engines.diffusers.ltx2.denoise import Context
from actors.engines.diffusers.ltx_video.encoders import load_encoder
from actors.engines.diffusers.streamed import blocks_of, stream_blocks
from actors.models.tiny_words import PromptRefused, TinyTokenizer
from jobs.errors import CannotRun, InvalidInput
from jobs.places import shown

if TYPE_CHECKING:
    from actors.models.tiny_text import TinyTextEncoder

GEMMA_TOKENS = 1024
"""Every prompt is padded on the left to as many, of which the connectors make registers. It begins with the
mark of a beginning, on which every state depends: Gemma 3's tokenizer writes it and Gemma 4's does not, so
that `LTXGemmaTokenizer` of ltx-core puts it there."""


class States(Protocol):
    """States `[1, S, D, layers]` of a text encoder and mask `[1, S]` of a prompt."""

    def states(self, prompt: str) -> tuple[Tensor, Tensor]: ...

    def to(self, device: torch.device) -> None: ...

    def stream(self, device: torch.device) -> None: ...


@dataclass(frozen=True)
class Prompts:
    """A text encoder and the connectors behind it."""

    encoder: States
    connectors: Any

    def context(self, prompt: str) -> Context:
        """What the transformer reads of `prompt`."""
        states, mask = self.encoder.states(prompt)
        dtype, device = self.connectors.dtype, self.connectors.device
        video, audio, seen = self.connectors(states.to(device, dtype), mask.to(device).long())
        # Without registers the padding stays, and is not to be read.
        unread = self.connectors.video_connector.learnable_registers is None
        return Context(video, audio, mask.to(device) if unread else seen.bool())

    def to(self, device: torch.device) -> None:
        self.encoder.to(device)
        self.connectors.to(device)

    def stream(self, device: torch.device) -> None:
        """The encoder; connectors have room beside one of its layers."""
        self.encoder.stream(device)


class TinyStates:
    """The closed vocabulary of a bundled model: one state a word."""

    def __init__(self, tokenizer: TinyTokenizer, encoder: TinyTextEncoder) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder

    def states(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Raises `InvalidInput` for a word that the model does not know."""
        try:
            ids = torch.tensor(self.tokenizer.batch([prompt]))
        except PromptRefused as error:
            raise InvalidInput(f"prompt {shown(prompt)}: {error}") from error
        embeddings, mask = self.encoder(ids.to(self.encoder.position.device))
        return embeddings[..., None], mask

    def to(self, device: torch.device) -> None:
        self.encoder.to(device)

    def stream(self, device: torch.device) -> None:
        """It has room everywhere."""


class GemmaStates:
    """Gemma as its folder has it: weights and tokenizer in one, or in `text_encoder/` and `tokenizer/`."""

    def __init__(self, tokenizer: Any, model: Any) -> None:
        self.tokenizer, self.model = tokenizer, model

    @classmethod
    def load(cls, folder: Path, dtype: torch.dtype) -> GemmaStates:
        """Code and pickles in the folder are never loaded. Raises CannotRun where a package is missing,
        SpecError as `load_encoder`."""
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise CannotRun(f"Gemma needs transformers ({error}); pip install transformers") from error
        weights, words = (_inside(folder, name) for name in ("text_encoder", "tokenizer"))
        model = load_encoder(AutoModel, weights, dtype)
        tokenizer = AutoTokenizer.from_pretrained(words, trust_remote_code=False, padding_side="left")
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return cls(tokenizer, model)

    def states(self, prompt: str) -> tuple[Tensor, Tensor]:
        """The states behind the embeddings and behind each layer."""
        tokens = self.tokenizer.pad(
            {"input_ids": [self._tokens(prompt)]},
            padding="max_length",
            max_length=GEMMA_TOKENS,
            return_tensors="pt",
        )
        ids, mask = (tokens[name].to(self.model.device) for name in ("input_ids", "attention_mask"))
        made = self.model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        return torch.stack(made.hidden_states, dim=-1), mask

    def _tokens(self, prompt: str) -> list[int]:
        found = self.tokenizer(prompt.strip(), truncation=True, max_length=GEMMA_TOKENS).input_ids
        start = self.tokenizer.bos_token_id
        return found if start is None or found[:1] == [start] else [start, *found][:GEMMA_TOKENS]

    def to(self, device: torch.device) -> None:
        self.model.to(device)

    def stream(self, device: torch.device) -> None:
        stream_blocks(blocks_of(self.model), device)


def _inside(folder: Path, name: str) -> Path:
    below = folder / name
    return below if below.is_dir() else folder
