"""The matrix and the prompts that its words go into."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobs.places import Location, nearest, shown
from jobs.rules.explaining.explain import explain
from jobs.rules.findings import BrokenRule
from jobs.spec.chunk import MAX_PROMPT, Defaults
from jobs.spec.fields import all_settings

if TYPE_CHECKING:
    from jobs.spec.job import JobSpec

PLACEHOLDER = re.compile(r"\{([A-Za-z][A-Za-z0-9_]{0,63})\}")


def check_matrix(spec: JobSpec) -> Iterator[BrokenRule]:
    """Keys are fields of `defaults` or words in a prompt; values are legal for them."""
    for key, values in spec.matrix.items():
        if key == "references":
            rule = "a number or a word in each value: lists of files have no name for a video"
            yield BrokenRule(("matrix", key), shown(values), rule, "write them in the shots of each video")
        elif key in Defaults.model_fields:
            yield from _check_matrix_values(key, values)
        elif not any("{" + key + "}" in text for _, text in _prompts(spec)):
            if _lacks_prompt(spec):
                continue
            rule = f"a field of `defaults`, or a word that a prompt names as {{{key}}}"
            near = nearest(key, (*Defaults.model_fields, *_placeholders(spec)))
            remedy = f"did you mean `{near}`?" if near else f"write {{{key}}} into a prompt, or remove it"
            depends = tuple(location for location, _ in _prompts(spec))
            yield BrokenRule(("matrix", key), shown(values), rule, remedy, depends)
        else:
            yield from _check_words(key, values)


def _lacks_prompt(spec: JobSpec) -> bool:
    """Whether some chunk has no prompt at all: the word may belong there."""
    if spec.defaults.prompt or "prompt" in spec.matrix:
        return False
    return not all(settings.prompt for place, settings in all_settings(spec) if place[0] == "videos")


def check_placeholders(spec: JobSpec) -> Iterator[BrokenRule]:
    """Every `{word}` in a prompt is a word of the matrix; the model would read the braces."""
    words = [key for key in spec.matrix if key not in Defaults.model_fields]
    for location, text in _prompts(spec):
        unknown = [word for word in PLACEHOLDER.findall(text) if word not in words]
        if unknown:
            near = nearest(unknown[0], words)
            listed = f"the words of `matrix` are {', '.join(words)}" if words else "`matrix` has no words"
            rule = f"a {{word}} in a prompt stands for a word of `matrix`; {listed}"
            other = f"add `{unknown[0]}` to `matrix`, or write it without braces"
            remedy = f"did you mean {{{near}}}?" if near else other
            yield BrokenRule(location, f"{{{unknown[0]}}}", rule, remedy, (("matrix",),))


def check_filled(spec: JobSpec) -> Iterator[BrokenRule]:
    """A prompt stays one with the longest words of the matrix in it, the words in these words included."""
    words = {
        key: [str(value) for value in values]
        for key, values in spec.matrix.items()
        if key not in Defaults.model_fields
    }
    for location, text in _prompts(spec):
        characters = _filled_characters(text, words)
        if characters > MAX_PROMPT:
            rule = f"at most {MAX_PROMPT} characters with the words of `matrix` put in"
            remedy = "name the words less often, or shorten them"
            yield BrokenRule(location, f"up to {characters} characters", rule, remedy, (("matrix",),))


def _filled_characters(text: str, words: Mapping[str, Sequence[str]]) -> int:
    """The most that `Variant.fill` makes of a text: it puts in the words of one key after the other."""
    length, named = len(text), {key: text.count("{" + key + "}") for key in words}
    for key, choices in words.items():
        length += named[key] * (max(map(len, choices)) - len(key) - 2)
        for other in words:
            named[other] += named[key] * max(choice.count("{" + other + "}") for choice in choices)
    return length


def _placeholders(spec: JobSpec) -> list[str]:
    return [word for _, text in _prompts(spec) for word in PLACEHOLDER.findall(text)]


def _check_matrix_values(key: str, values: tuple[Any, ...]) -> Iterator[BrokenRule]:
    for index, value in enumerate(values):
        try:
            Defaults.model_validate({key: value})
        except ValidationError as error:
            problem = next(iter(explain(error, {key: value}).values()))
            yield BrokenRule(("matrix", key, index), problem.value, problem.rule, problem.remedy)


def _check_words(key: str, values: tuple[Any, ...]) -> Iterator[BrokenRule]:
    for index, value in enumerate(values):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if (isinstance(value, str) and len(value) <= 2000) or (number and math.isfinite(value)):
            continue
        rule = "text or a number to put into the prompt"
        yield BrokenRule(("matrix", key, index), shown(value), rule, "put it in quotes")


def _prompts(spec: JobSpec) -> Iterator[tuple[Location, str]]:
    for location, settings in all_settings(spec):
        if location != ("upscale",):
            yield (*location, "prompt"), settings.prompt or ""
            yield (*location, "negative"), settings.negative
            for index, beat in enumerate(getattr(settings, "beats", ())):
                yield (*location, "beats", index, "prompt"), beat.prompt
    for field in ("prompt", "negative"):
        for index, text in enumerate(spec.matrix.get(field, ())):
            if isinstance(text, str):
                yield ("matrix", field, index), text
