"""Everything that a plan is warned of, with what only the models' own tokenizers know."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from actors.models.t5_words import SERIALIZED, T5_TOKENS, VOCABULARY, cut_of, tokenizer_in
from jobs.advice.advice import NO_FACTS, advice
from jobs.advice.prompts import texts
from jobs.places import shown

if TYPE_CHECKING:
    from jobs.planning.facts import SourceFacts
    from jobs.planning.planned import Plan
    from jobs.spec.engine import EngineConfig

SHOWN_WORDS = 8


def cautions(plan: Plan, facts: SourceFacts = NO_FACTS) -> tuple[str, ...]:
    """One line for each thing that renders, but not as it is written; each ends with what to do."""
    return (*advice(plan, facts), *_cut_prompts(plan))


def _cut_prompts(plan: Plan) -> Iterator[str]:
    """Prompts of which the diffusers engine's T5 reads the beginning alone; ComfyUI's reads them whole."""
    folder = _tokenizer_folder(plan.engine) if plan.engine.name == "diffusers" else None
    tokenizer = tokenizer_in(folder) if folder else None
    if tokenizer is None:
        return
    for place, text in texts(plan):
        cut = cut_of(text, tokenizer)
        if cut is not None:
            read = " ".join(cut.read.split()[-SHOWN_WORDS:])
            unread = " ".join(cut.unread.split()[:SHOWN_WORDS])
            yield (
                f"{place}: the text encoder reads {T5_TOKENS} tokens and this has {cut.tokens}: it is cut "
                f"after {shown(read)}, and what begins with {shown(unread)} is not read. Shorten it, or move "
                "its end to a chunk of its own"
            )


def _tokenizer_folder(engine: EngineConfig) -> Path | None:
    """Where the tokenizer lies on this machine; a hub id counts where it was downloaded before."""
    named = next(iter((*engine.text_encoders, engine.checkpoint)), None)
    if named is None:
        return None
    if Path(named).exists():
        return Path(named) / "tokenizer"
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    for name in (SERIALIZED, VOCABULARY):
        try:
            found = try_to_load_from_cache(named, f"tokenizer/{name}")
        except HFValidationError:
            return None
        if isinstance(found, str):
            return Path(found).parent
    return None
