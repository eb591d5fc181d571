"""What pydantic found, as place, value, rule and remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from jobs.errors import Problem
from jobs.places import Location, place_of, shown
from jobs.rules.explaining.meant import (
    field_elsewhere,
    meant_elsewhere,
    meant_field,
    other_field,
    quoted,
)
from jobs.spec.chunk import Settings
from jobs.spec.fields import field_at, homes, model_at
from jobs.spec.retake import Retake
from jobs.spec.versions import NEWEST, removed_at

if TYPE_CHECKING:
    from pydantic import ValidationError

Advice = tuple[str, str]
Context = Mapping[str, Any]

KINDS = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "model_type": "a mapping of fields",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}
MAX_PROBLEMS = 100
"""Finding the words for one can take a millisecond, and nobody reads more."""
MOST_PLACES = 3
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
ANY_SCALAR = "text, a number, true, false, or a list of whole numbers"


def explain(
    error: ValidationError, data: Any, written: Mapping[Location, str] | None = None, own: Any = None
) -> dict[Location, Problem]:
    """One problem per place, in the order of the document; `written` as in `Document`. `own` is the document
    without what a recipe filled in, where one did."""
    grouped: dict[Location, list[Mapping[str, Any]]] = {}
    for item in error.errors(include_url=False):
        grouped.setdefault(_real_location(item, data), []).append(item)
    above = {place[:length] for place in grouped for length in range(len(place))}
    misspelt = [place for place, items in grouped.items() if items[0]["type"] == "extra_forbidden"]
    meant = set(meant_places(misspelt))
    faulty = {
        place: items
        for place, items in grouped.items()
        if not _is_echo(items, place in above) and not (place in meant and items[0]["type"] == "missing")
    }
    return {
        location: _problem(location, items, (written or {}).get(location), own or data)
        for location, items in islice(faulty.items(), MAX_PROBLEMS + 1)
    }


def meant_places(faulty: Iterable[Location]) -> Iterator[Location]:
    """Where the misspelt names among these places belong: that nothing stands there follows from them."""
    for location in faulty:
        model = model_at(location[:-1]) if location else None
        key = str(location[-1]) if location else ""
        if (
            model is not None
            and key not in model.model_fields
            and (near := meant_field(key, model.model_fields))
        ):
            yield (*location[:-1], near)


def _is_echo(items: list[Mapping[str, Any]], holds_faults: bool) -> bool:
    """A list counts as too short when its items are faulty: only the items matter then."""
    return holds_faults and all(item["type"] == "too_short" for item in items)


def with_lines(problems: Mapping[Location, Problem], lines: Mapping[Location, int | None]) -> list[Problem]:
    """The problems in the order of the document, each with the line of its place where that is known."""
    numbered = [(_line_of(location, lines), problem) for location, problem in problems.items()]
    numbered.sort(key=lambda pair: pair[0] or 0)
    listed = [replace(problem, line=line) for line, problem in numbered[:MAX_PROBLEMS]]
    if len(numbered) > MAX_PROBLEMS:
        rule, remedy = f"at most {MAX_PROBLEMS} are listed at once", "mend these, then check again"
        listed.append(Problem("the spec", "more problems than these", rule, remedy))
    return listed


def _line_of(location: Location, lines: Mapping[Location, int | None]) -> int | None:
    upwards = (location[:length] for length in range(len(location), 0, -1))
    return next((lines[place] for place in upwards if place in lines), None)


def _real_location(item: Mapping[str, Any], data: Any) -> Location:
    """The error's place without the tags that pydantic adds for unions and dictionary keys."""
    location: list[str | int] = []
    for part in item["loc"]:
        there = (
            part in data if isinstance(data, dict) else isinstance(data, list) and part in range(len(data))
        )
        if there:
            data = data[part]
        elif not (isinstance(data, dict) and item["type"] == "missing"):
            continue
        location.append(part)
    return tuple(location)


def _problem(
    location: Location, items: list[Mapping[str, Any]], written: str | None, document: Any
) -> Problem:
    kinds = {str(item["type"]) for item in items}
    if len(kinds) > 1 and all(kind in KINDS for kind in kinds):
        advice = (ANY_SCALAR, "write one of these")
    else:
        advice = _advice(location, items[0], written, document)
    value = "nothing" if items[0]["type"] == "missing" else shown(items[0]["input"])
    return Problem(place_of(location) or "the spec", value, *advice)


def _advice(location: Location, item: Mapping[str, Any], written: str | None, document: Any) -> Advice:
    kind = str(item["type"])
    context = {**item.get("ctx", {}), "input": item.get("input"), "document": document}
    if kind in KINDS:
        usual = f"write {KINDS[kind]}{_example(location)}"
        value = item.get("input")
        meant = _meant(kind, value, written) or _mapping_meant(kind, location, value)
        meant = meant or _several_meant(kind, location, value)
        return KINDS[kind], meant or usual
    if kind in ADVICE:
        return ADVICE[kind](location, context)
    return str(item["msg"]), f"mend the value{_example(location)}"


def _meant(kind: str, value: Any, written: str | None) -> str:
    """A number in quotes, or text without: what the user wrote, as it should be written."""
    if kind in ("int_type", "float_type") and isinstance(value, str) and _NUMBER.fullmatch(value):
        whole = kind == "int_type" and not value.lstrip("+-").isdigit()
        return "" if whole else f"write {value} without quotes"
    if kind == "string_type" and isinstance(value, int | float):
        spelled = str(value).lower() if isinstance(value, bool) else str(value)
        return f"write {json.dumps(spelled if written is None else written)}, in quotes"
    return ""


def _mapping_meant(kind: str, location: Location, value: Any) -> str:
    """A chunk without its colon, or a section switched on by a word: as each should be written."""
    if kind != "model_type":
        return ""
    if location[-2:-1] == ("chunks",) and isinstance(value, str):
        prompt = value.removeprefix("generate").removeprefix("extend").strip(" :") or "..."
        chunk = "extend" if value.startswith("extend") else "generate"
        return f"write `- {chunk}: {{prompt: {quoted(prompt, 200)}}}`"
    model = model_at(location) if location and isinstance(location[-1], str) else None
    if model is None or any(info.is_required() for info in model.model_fields.values()):
        return ""
    return f"write `{location[-1]}: {{}}` for its defaults, or leave it out"


def _several_meant(kind: str, location: Location, value: Any) -> str:
    """The shots of a track, which has one."""
    track = location[0] == "videos" and location[2:3] == ("sound",) and location[-1] == "shot"
    if kind != "string_type" or not track or not isinstance(value, list):
        return ""
    return "write a track for each shot, with the name of that one, or leave `shot` out for all of the film"


def _example(location: Location) -> str:
    info = field_at(location)
    if info is None or info.is_required() or not isinstance(info.default, str | int | float):
        return ""
    return f", for example {shown(info.default)}" if info.default != "" else ""


def _missing(location: Location, _context: Context) -> Advice:
    return "this field is required", f"add `{location[-1]}`"


def _unknown(location: Location, context: Context) -> Advice:
    if (gone := removed_at(location)) is not None:
        instead = gone.instead(context["input"])
        how = "as `farm migrate` does" if gone.rewritten else "remove it, as `farm migrate` does, and"
        return gone.rule, f"{instead}, {how}" if gone.rewritten else f"{how} {instead}"
    key, model = str(location[-1]), model_at(location[:-1])
    known = tuple(model.model_fields) if model else ()
    rule = f"the fields here are {', '.join(known)}" if known else "no fields here"
    if said := meant_elsewhere(location, known, context["input"], context["document"]):
        return rule, said
    if model is Retake and key in Settings.model_fields:
        return rule, f"remove `{key}`: a retake has neither guide images nor an overlap"
    near = meant_field(key, known)
    if near:
        there = _is_beside(location, near, context["document"])
        return rule, f"remove `{key}`: `{near}` is there" if there else f"did you mean `{near}`?"
    if key in homes():
        return rule, f"`{key}` belongs in {_places(homes()[key])}"
    if elsewhere := field_elsewhere(key):
        return rule, f"did you mean `{elsewhere}` in {homes()[elsewhere][0]}?"
    return rule, f"remove `{key}`"


def _is_beside(location: Location, name: str, document: Any) -> bool:
    """Whether a field of that name is in the mapping that has the field at `location`."""
    for part in location[:-1]:
        document = document[part]
    return name in document


def _places(places: Sequence[str]) -> str:
    more = " or other places" if len(places) > MOST_PLACES else ""
    return " or ".join(places[:MOST_PLACES]) + more


def _choice(location: Location, context: Context) -> Advice:
    if location == ("version",) and type(context["input"]) is int and context["input"] > NEWEST:
        return f"at most {NEWEST}, the newest that this farm reads", "render it with the farm that wrote it"
    allowed = str(context["expected"]).replace("'", "`")
    if said := other_field(location, context["input"]):
        return allowed, said
    return allowed, "write one of these" if " or " in allowed else f"write {allowed}"


def _bound(words: str, key: str) -> Callable[[Location, Context], Advice]:
    def advise(location: Location, context: Context) -> Advice:
        usual = f"write a number of {words} {context[key]}{_example(location)}"
        return f"{words} {context[key]}", _sign_meant(key, context["input"], context[key]) or usual

    return advise


def _sign_meant(key: str, value: Any, bound: float) -> str:
    """A number on the other side of zero, which fits with the other sign."""
    if type(value) not in (int, float) or value == 0:
        return ""
    fits = value < 0 <= bound <= -value if key == "ge" else key == "le" and -value <= bound <= 0 < value
    return f"did you mean {-value:g}?" if fits else ""


def _length(words: str, key: str, unit: str) -> Callable[[Location, Context], Advice]:
    def advise(_location: Location, context: Context) -> Advice:
        rule = f"{words} {context[key]} {unit}{'s' if context[key] != 1 else ''}"
        return rule, f"write {rule}"

    return advise


def _own_rule(_location: Location, context: Context) -> Advice:
    return context["rule"], context["remedy"]


ADVICE: dict[str, Callable[[Location, Context], Advice]] = {
    "rule": _own_rule,
    "missing": _missing,
    "extra_forbidden": _unknown,
    "literal_error": _choice,
    "greater_than_equal": _bound("at least", "ge"),
    "less_than_equal": _bound("at most", "le"),
    "greater_than": _bound("more than", "gt"),
    "less_than": _bound("less than", "lt"),
    "string_too_short": _length("at least", "min_length", "character"),
    "string_too_long": _length("at most", "max_length", "character"),
    "too_short": _length("at least", "min_length", "item"),
    "too_long": _length("at most", "max_length", "item"),
}
