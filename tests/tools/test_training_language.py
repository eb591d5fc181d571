"""The grammar of the tiny model and its held-out prompts."""

from __future__ import annotations

import random

import pytest
import torch

from actors.models.tiny_words import UnknownWords
from tools.train_tiny.procedural.prompts import (
    UNNAMED,
    PromptPool,
    choose_held_out,
    continuation,
    held_out,
    sentence,
    tokenizer,
)


def test_every_sentence_is_in_the_vocabulary() -> None:
    words, rng = tokenizer(), random.Random(0)
    for _ in range(500):
        combination = (rng.randrange(6), rng.randrange(3), rng.randrange(5), rng.randrange(UNNAMED + 1))
        for prompt in (sentence(combination, rng), continuation(combination, rng)):
            assert len(words.ids(prompt)) > 1


def test_the_held_out_file_is_what_its_seed_draws() -> None:
    items = held_out()
    assert [item.prompt for item in items] == [row["prompt"] for row in choose_held_out()]
    assert len({item.combination for item in items}) == 64


def test_training_never_says_a_held_out_combination() -> None:
    pool = PromptPool(torch.device("cpu"), variants=1)
    facts = torch.tensor([item.combination for item in held_out()])
    never = torch.zeros(len(facts), dtype=torch.bool)
    assert (pool.draw(facts, never, never) == pool.null).all()


def test_judgements_are_dropped() -> None:
    words = tokenizer()
    assert words.ids("worst quality, low resolution, blurry, distorted, jittery") == words.ids("")
    with pytest.raises(UnknownWords) as caught:
        words.ids("a pink elephant")
    assert caught.value.words == ("pink", "elephant")
