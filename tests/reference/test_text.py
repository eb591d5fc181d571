"""Prompts through T5: tokens, mask, padding and what is cut, beside Lightricks' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fidelity import MODULES, Measured, difference

pytestmark = pytest.mark.reference
TABLE = "text"
PROMPTS = {
    "a sentence": "a pier at dawn, the fog lifts and a bell rings",
    "blanks around it": "  a pier at dawn \n",
    "weights and brackets": "a (red:1.3) boat [drifts] (slowly)",
    "other letters": "it’s a  café\n— naïve ﬁlm",
    "nothing": "",
    "longer than the encoder reads": "the camera slowly pans to the right over a quiet harbor. " * 40,
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ltx_video", reason="needs the environment of `make test-reference`")
    from t5_folder import write_encoder

    return write_encoder(tmp_path_factory.mktemp("t5"))


@pytest.fixture(scope="module")
def both(encoder: Path, sides: Any) -> tuple[Any, Any]:
    """Lightricks' pipeline with the encoder, and the farm's prompts."""
    import torch
    from farm_side import noise
    from transformers import T5EncoderModel, T5Tokenizer

    from actors.engines.diffusers.ltx_video.text import T5Prompts

    pipeline = sides("2b-0.9.5")[0].pipeline(noise(3, 4, 4))
    pipeline.text_encoder = T5EncoderModel.from_pretrained(encoder / "text_encoder")
    pipeline.tokenizer = T5Tokenizer.from_pretrained(encoder / "tokenizer")
    return pipeline, T5Prompts.load(encoder, torch.float32)


@pytest.mark.parametrize("kind", PROMPTS)
def test_a_prompt(kind: str, both: tuple[Any, Any], measured: Measured) -> None:
    import torch

    pipeline, prompts = both
    with torch.no_grad():
        wanted, mask, *_ = pipeline.encode_prompt(PROMPTS[kind], do_classifier_free_guidance=False)
        got, own_mask = prompts.encode(PROMPTS[kind])
    assert torch.equal(own_mask.long(), mask)
    counted = mask.bool()[0]
    found = difference(got[:, counted], wanted[:, counted])
    measured.note(TABLE, kind, "Lightricks", found)
    assert found <= MODULES


@pytest.mark.parametrize("kind", PROMPTS)
def test_tokens_are_those_of_sentencepiece(kind: str, both: tuple[Any, Any], encoder: Path) -> None:
    """The model's own vocabulary file, read by the library that made it."""
    import sentencepiece

    vocabulary = sentencepiece.SentencePieceProcessor(model_file=str(encoder / "tokenizer" / "spiece.model"))
    wanted = [*vocabulary.encode(PROMPTS[kind])[:255], 1]
    tokens = both[1].tokenizer(PROMPTS[kind], truncation=True, max_length=256).input_ids
    assert tokens == wanted


def test_a_cut_is_told_where_it_is(both: tuple[Any, Any], encoder: Path) -> None:
    """`farm check` counts as the engine does."""
    from actors.models.t5_words import cut_of, tokenizer_in

    tokenizer = tokenizer_in(encoder / "tokenizer")
    assert tokenizer is not None
    text = PROMPTS["longer than the encoder reads"]
    cut = cut_of(text, tokenizer)
    read = both[1].tokenizer(text, truncation=True, max_length=256).input_ids
    assert cut is not None
    assert cut.tokens == len(both[1].tokenizer(text).input_ids)
    assert cut.read.split() == both[1].tokenizer.decode(read[:-1]).split()


def test_what_diffusers_pipelines_do_without_a_mask(both: tuple[Any, Any], measured: Measured) -> None:
    """They let padding take part in T5's attention: a choice that the farm does not follow."""
    import torch

    from actors.models.t5_words import T5_TOKENS

    pipeline, prompts = both
    text = PROMPTS["a sentence"]
    tokens = pipeline.tokenizer(text, padding="max_length", max_length=T5_TOKENS, return_tensors="pt")
    counted = tokens.attention_mask.bool()[0]
    with torch.no_grad():
        unmasked = pipeline.text_encoder(tokens.input_ids)[0]
        got, _ = prompts.encode(text)
    found = difference(got[:, counted], unmasked[:, counted])
    measured.note("choices", "T5 with a mask over padding, none in diffusers' pipelines", "difference", found)
    assert found > 100 * MODULES
