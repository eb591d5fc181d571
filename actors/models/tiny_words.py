"""Tokenizer of the bundled tiny model: plain sentences over a closed vocabulary. Needs no torch.

A prompt becomes one start token followed by its words; the empty prompt is the start token alone, and that is
the null prompt of classifier-free guidance. Words that only praise or blame the picture ("blurry", "best
quality") say nothing to this model and are dropped, so the usual negative prompts mean the null prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from actors.models import TINY_CHECKPOINT
from jobs.places import nearest
from jobs.planning.facts import PromptFault
from jobs.weights.safetensors_header import read_header

START = "<start>"
PAD = "<pad>"
WORD_LIST = Path(__file__).with_name("MODEL_CARD.md")
"""Where every word stands."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?")
_MOST_NAMED = 6
_LONGEST_NAMED = 40
_NEAR = 0.75


class PromptRefused(ValueError):
    """A prompt that the tiny model cannot read; `fault` says why."""

    fault: PromptFault

    def __str__(self) -> str:
        return f"{self.fault.rule}: {self.fault.value}; {self.fault.remedy}"


class UnknownWords(PromptRefused):
    """The prompt uses words outside the vocabulary. `words` are those, `known` every word allowed."""

    def __init__(self, words: Sequence[str], known: Sequence[str]) -> None:
        super().__init__(words, known)
        self.words = tuple(words)
        self.known = tuple(known)
        rule = f"the bundled tiny model knows {len(self.known)} words, and not these"
        self.fault = PromptFault(_quoted(self.words), rule, self._remedy())

    def _remedy(self) -> str:
        near = {word: nearest(word, self.known, _NEAR) for word in self.words[:_MOST_NAMED]}
        meant = [f"{known!r} instead of {word!r}" for word, known in near.items() if known]
        instead = f"write {', '.join(meant)}; " if meant else ""
        return f"{instead}its words stand in {WORD_LIST}; other models, named in `engine`, know them all"


class PromptTooLong(PromptRefused):
    """The prompt has more words than the text encoder has positions."""

    def __init__(self, words: int, most: int) -> None:
        super().__init__(words, most)
        self.fault = PromptFault(
            f"{words} words", f"the bundled tiny model reads at most {most} words", "shorten the prompt"
        )


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
        """Every word that means something, in alphabetical order."""
        return tuple(sorted(self.words[2:]))

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
            raise PromptTooLong(len(words), self.max_tokens - 1)
        index = {word: i for i, word in enumerate(self.words)}
        return [index[START], *(index[word] for word in words)]

    def batch(self, prompts: Sequence[str]) -> list[list[int]]:
        """Ids of several prompts, padded to the longest with the pad id."""
        rows = [self.ids(prompt) for prompt in prompts]
        length = max(len(row) for row in rows)
        pad = self.words.index(PAD)
        return [row + [pad] * (length - len(row)) for row in rows]


def read_bundled(prompt: str) -> PromptFault | None:
    """What keeps the bundled model from reading a prompt; None where nothing does."""
    try:
        _bundled().ids(prompt)
    except PromptRefused as refused:
        return refused.fault
    return None


@cache
def _bundled() -> TinyTokenizer:
    config = json.loads(read_header(TINY_CHECKPOINT)["__metadata__"]["config"])
    return TinyTokenizer.from_config(config["text_encoder"])


def _quoted(words: Iterable[str]) -> str:
    listed = list(words)
    more = f" and {len(listed) - _MOST_NAMED} more" if len(listed) > _MOST_NAMED else ""
    return ", ".join(repr(_cut(word)) for word in listed[:_MOST_NAMED]) + more


def _cut(word: str) -> str:
    return word if len(word) <= _LONGEST_NAMED else f"{word[:_LONGEST_NAMED]}…"
