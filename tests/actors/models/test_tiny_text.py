"""The tiny model's tokenizer and text encoder."""

from __future__ import annotations

import json
import pickle

import pytest
import torch

from actors.models import TINY_CHECKPOINT
from actors.models.tiny_text import TinyTextEncoder
from actors.models.tiny_words import WORD_LIST, PromptTooLong, TinyTokenizer, UnknownWords, read_bundled
from jobs.weights.safetensors_header import read_header

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
    assert caught.value.known == ("a", "ball", "red")
    assert "'pink', 'cat'" in str(caught.value)


def test_near_words_are_named_and_the_list_is_not_repeated() -> None:
    fault = read_bundled("a read bal floats over the beach")
    assert fault is not None
    assert fault.value == "'read', 'bal', 'beach'"
    assert fault.remedy.startswith("write 'red' instead of 'read', 'ball' instead of 'bal'; ")
    assert str(WORD_LIST) in fault.remedy
    assert len(fault.remedy) < 300
    assert len(fault.rule) < 100
    assert read_bundled("a red ball floats over a teal background, best quality") is None
    long = read_bundled(" ".join(["ball"] * 32))
    assert long is not None
    assert long.rule.endswith("at most 31 words")


def test_many_unknown_words_are_counted() -> None:
    unknown = [f"{letter}qqq" for letter in "abcdefghij"]
    assert "'fqqq' and 4 more;" in str(UnknownWords(unknown, ["ball"]))
    assert len(UnknownWords(["x" * 5000] * 6, ["ball"]).fault.value) < 400


def test_the_model_card_lists_every_word() -> None:
    listed = WORD_LIST.read_text().partition("## Words")[2].partition("```")[2].partition("```")[0].split()
    config = json.loads(read_header(TINY_CHECKPOINT)["__metadata__"]["config"])["text_encoder"]
    assert listed == sorted(config["words"][2:])


@pytest.mark.usefixtures("tokenizer")
def test_the_error_survives_a_process_boundary() -> None:
    again = pickle.loads(pickle.dumps(UnknownWords(["cat"], ["ball"])))
    assert again.words == ("cat",)
    assert again.known == ("ball",)


def test_a_prompt_longer_than_the_positions_is_refused(tokenizer: TinyTokenizer) -> None:
    with pytest.raises(PromptTooLong):
        tokenizer.ids("a ball a ball a ball")


def test_padding_does_not_change_the_words(tokenizer: TinyTokenizer) -> None:
    torch.manual_seed(0)
    encoder = TinyTextEncoder.from_config(CONFIG).eval()
    both, mask = encoder(torch.tensor(tokenizer.batch(["a red ball", ""])))
    alone, _ = encoder(torch.tensor(tokenizer.batch([""])))
    assert mask.tolist() == [[True] * 4, [True, False, False, False]]
    torch.testing.assert_close(both[1:, :1], alone)
