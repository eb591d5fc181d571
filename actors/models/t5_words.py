"""How much of a prompt T5 reads, by the tokenizer beside the model. Needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

T5_TOKENS = 256
"""Tokens that LTX-Video's prompts are padded to, and cut after; the last is always the end."""

VOCABULARY, SERIALIZED = "spiece.model", "tokenizer.json"


@dataclass(frozen=True)
class Tokenizer:
    """`encode` makes tokens of a text, without the end, `decode` text of tokens."""

    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]


@dataclass(frozen=True)
class CutPrompt:
    """A prompt of `tokens` tokens, its end included: what is `read` of it, and what is not."""

    tokens: int
    read: str
    unread: str


def cut_of(text: str, tokenizer: Tokenizer) -> CutPrompt | None:
    """Where T5 stops reading; None for a prompt that it reads whole."""
    tokens = tokenizer.encode(text)
    if len(tokens) < T5_TOKENS:
        return None
    last = T5_TOKENS - 1
    return CutPrompt(len(tokens) + 1, tokenizer.decode(tokens[:last]), tokenizer.decode(tokens[last:]))


def tokenizer_in(folder: Path) -> Tokenizer | None:
    """The tokenizer in `folder`; None where there is no file of one that can be read here. The library that
    the engine needs for it may be missing."""
    try:
        if (folder / SERIALIZED).is_file():
            return _serialized(folder / SERIALIZED)
        if (folder / VOCABULARY).is_file():
            return _vocabulary(folder / VOCABULARY)
    except (
        Exception
    ):  # each library has error classes of its own; the engine says what is wrong with the file
        return None
    return None


def _vocabulary(path: Path) -> Tokenizer:
    import sentencepiece

    words: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
    return Tokenizer(words.encode, words.decode)


def _serialized(path: Path) -> Tokenizer:
    import tokenizers

    words: Any = tokenizers.Tokenizer.from_file(str(path))
    words.no_truncation()
    words.no_padding()
    return Tokenizer(lambda text: words.encode(text, add_special_tokens=False).ids, words.decode)
