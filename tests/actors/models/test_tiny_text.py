"""The tiny model's tokenizer and text encoder."""

from __future__ import annotations

import pickle

import pytest
import torch

from actors.models.tiny_text import PromptTooLong, TinyTextEncoder, TinyTokenizer, UnknownWords

CONFIG = {
    "words": ["<pad>", "<start>", "a", "ball", "red"],
    "dropped": ["blurry", "quality", "worst"],
    "max_tokens": 6,
    "dim": 16,
    "layers": 2,
    "heads": 2,
}


@pytest.fixture
def tokenizer() -> TinyTokenizer:
    return TinyTokenizer.from_config(CONFIG)


def test_case_and_punctuation_do_not_matter(tokenizer: TinyTokenizer) -> None:
    assert tokenizer.ids("A  red, BALL!") == tokenizer.ids("a red ball") == [1, 2, 4, 3]


def test_the_usual_negative_prompt_is_the_null_prompt(tokenizer: TinyTokenizer) -> None:
    assert tokenizer.ids("worst quality, blurry") == tokenizer.ids("") == [1]


def test_unknown_words_are_listed_with_what_is_known(tokenizer: TinyTokenizer) -> None:
    with pytest.raises(UnknownWords) as caught:
        tokenizer.ids("a pink ball, a pink cat")
    assert caught.value.words == ("pink", "cat")
    assert caught.value.known == ("a", "ball", "blurry", "quality", "red", "worst")
    assert "'pink'" in str(caught.value)


def test_the_error_survives_a_process_boundary(tokenizer: TinyTokenizer) -> None:
    again = pickle.loads(pickle.dumps(UnknownWords(["cat"], ["ball"])))
    assert again.words == ("cat",) and again.known == ("ball",)


def test_a_prompt_longer_than_the_positions_is_refused(tokenizer: TinyTokenizer) -> None:
    with pytest.raises(PromptTooLong):
        tokenizer.ids("a ball a ball a ball")


def test_padding_does_not_change_the_words(tokenizer: TinyTokenizer) -> None:
    torch.manual_seed(0)
    encoder = TinyTextEncoder.from_config(CONFIG).eval()
    both, mask = encoder(tokenizer.batch(["a red ball", ""]))
    alone, _ = encoder(tokenizer.batch([""]))
    assert mask.tolist() == [[True] * 4, [True, False, False, False]]
    torch.testing.assert_close(both[1:, :1], alone)
