"""Tokenizers of a published size: every word is a piece or is put together out of shorter ones."""

from __future__ import annotations

import json
import string
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from benchmarks.gpu.text.encoders import Encoder

SPACE = "▁"
LETTERS = SPACE + string.ascii_lowercase + string.ascii_uppercase + string.digits + string.punctuation
JOINED = SPACE + string.ascii_lowercase
SPECIAL = ("<pad>", "<eos>", "<bos>", "<unk>", "<mask>")
"""Of Gemma, numbered from 0."""
T5_SPECIAL = ("<pad>", "</s>", "<unk>")


def write_tokenizer(folder: Path, encoder: Encoder, real: bool) -> None:
    """`tokenizer.json` and `tokenizer_config.json`, as they lie beside weights."""
    words = encoder.words[0 if real else 1]
    special = dict.fromkeys(("pad_token", "eos_token", "bos_token", "unk_token"), "")
    if encoder.tokenizer == "T5Tokenizer":
        made, names = (
            _unigram(words),
            dict(zip(("pad_token", "eos_token", "unk_token"), T5_SPECIAL, strict=True)),
        )
    else:
        made, names = _pairs(words, encoder.begins), {name: f"<{name[:3]}>" for name in special}
    folder.mkdir(parents=True, exist_ok=True)
    made.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": encoder.tokenizer, "add_bos_token": encoder.begins, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2))


def _joined() -> Iterator[str]:
    """Pieces of two letters and more, shorter ones first."""
    for length in (2, 3, 4, 5):
        yield from map("".join, product(JOINED, repeat=length))


def _pairs(words: int, begins: bool) -> Tokenizer:
    """Gemma's kind: pairs are merged, what has no letter here goes byte by byte."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors

    single = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), *LETTERS]
    pieces = [*single, *islice(_joined(), words - len(single))]
    merges = [(piece[:-1], piece[-1]) for piece in pieces[len(single) :]]
    made = Tokenizer(
        models.BPE(
            vocab={piece: number for number, piece in enumerate(pieces)},
            merges=merges,
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    made.normalizer = normalizers.Replace(" ", SPACE)
    made.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    if begins:
        made.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", SPECIAL.index("<bos>"))]
        )
    made.add_special_tokens(list(SPECIAL))
    return made


def _unigram(words: int) -> Tokenizer:
    """T5's kind: the likeliest pieces, which are the longest here, and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

    single = [*T5_SPECIAL, *LETTERS]
    pieces = [*single, *islice(_joined(), words - len(single))]
    made = Tokenizer(models.Unigram([(piece, -10.0) for piece in pieces], unk_id=2))
    made.pre_tokenizer = pre_tokenizers.Metaspace(replacement=SPACE)
    made.decoder = decoders.Metaspace(replacement=SPACE)
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    made.add_special_tokens(list(T5_SPECIAL))
    return made
