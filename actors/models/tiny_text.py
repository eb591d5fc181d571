"""Text encoder and tokenizer of the bundled tiny model: plain sentences over a closed vocabulary.

A prompt becomes one start token followed by its words; the empty prompt is the start token alone, and that is
the null prompt of classifier-free guidance. Words that only praise or blame the picture ("blurry", "best
quality") say nothing to this model and are dropped, so the usual negative prompts mean the null prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

START = "<start>"
PAD = "<pad>"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")


class UnknownWords(ValueError):
    """The prompt uses words outside the vocabulary. `words` are those, `known` every word allowed."""

    def __init__(self, words: Sequence[str], known: Sequence[str]) -> None:
        self.words = tuple(words)
        self.known = tuple(known)
        listed = ", ".join(repr(word) for word in self.words)
        super().__init__(
            f"the tiny model does not know {listed}; use only these words: {', '.join(self.known)}"
        )

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...], tuple[str, ...]]]:
        return type(self), (self.words, self.known)


class PromptTooLong(ValueError):
    """The prompt has more words than the text encoder has positions."""


@dataclass(frozen=True)
class TinyTokenizer:
    """Maps a sentence to token ids. `words` are the meaningful words in id order, `dropped` those without
    meaning.
    """

    words: tuple[str, ...]
    dropped: frozenset[str]
    max_tokens: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TinyTokenizer:
        """Build from the checkpoint's `text_encoder` metadata entry."""
        return cls(tuple(config["words"]), frozenset(config["dropped"]), int(config["max_tokens"]))

    @property
    def known(self) -> tuple[str, ...]:
        """Every accepted word, in alphabetical order."""
        return tuple(sorted({*self.words[2:], *self.dropped}))

    def split(self, prompt: str) -> list[str]:
        """The meaningful words of `prompt` in lower case. Raises `UnknownWords`."""
        found = _WORD.findall(prompt.lower())
        known = set(self.words[2:])
        unknown = [word for word in dict.fromkeys(found) if word not in known and word not in self.dropped]
        if unknown:
            raise UnknownWords(unknown, self.known)
        return [word for word in found if word in known]

    def ids(self, prompt: str) -> list[int]:
        """Token ids of `prompt`, start token first. Raises `UnknownWords` or `PromptTooLong`."""
        words = self.split(prompt)
        if len(words) + 1 > self.max_tokens:
            raise PromptTooLong(
                f"the prompt has {len(words)} words, the tiny model reads {self.max_tokens - 1}; shorten it"
            )
        index = {word: i for i, word in enumerate(self.words)}
        return [index[START], *(index[word] for word in words)]

    def batch(self, prompts: Sequence[str]) -> torch.Tensor:
        """Ids of several prompts [B, L] int64, padded to the longest with the pad id."""
        rows = [self.ids(prompt) for prompt in prompts]
        length = max(len(row) for row in rows)
        pad = self.words.index(PAD)
        return torch.tensor([row + [pad] * (length - len(row)) for row in rows])


class _Block(nn.Module):
    """Pre-norm self-attention and feed-forward over [B, L, dim]."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.up = nn.Linear(dim, 4 * dim)
        self.down = nn.Linear(4 * dim, dim)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class TinyTextEncoder(nn.Module):
    """Word embeddings, learned positions and a small transformer.

    `forward(ids [B, L] int64)` returns the embeddings [B, L, dim] and their mask [B, L] (True = a word).
    Padding does not change the embeddings of the words.
    """

    def __init__(self, vocabulary: int, dim: int, layers: int, heads: int, max_tokens: int) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, dim)
        self.position = nn.Parameter(torch.zeros(max_tokens, dim))
        self.blocks = nn.ModuleList(_Block(dim, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        nn.init.normal_(self.word.weight, std=0.5)
        nn.init.normal_(self.position, std=0.1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TinyTextEncoder:
        """Build from the checkpoint's `text_encoder` metadata entry."""
        return cls(
            len(config["words"]), config["dim"], config["layers"], config["heads"], config["max_tokens"]
        )

    def forward(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = ids != 0
        x = self.word(ids) + self.position[: ids.shape[1]]
        for block in self.blocks:
            x = block(x, mask)
        return self.norm(x), mask
