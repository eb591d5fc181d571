"""`-p videos[0].chunks[1].extend.prompt="rain"`: changes to a spec from the command line."""

from __future__ import annotations

import copy
import json
import re
import shlex
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from jobs.errors import Problem, SpecError, UsageError
from jobs.parsing.document import Document, from_mapping, parse_yaml
from jobs.parsing.yaml_events import SYNTAX
from jobs.places import Location, place_of

_PART = re.compile(r"(?:\A|(?<=.)\.)(?P<key>[A-Za-z_][A-Za-z0-9_-]*)|\[(?P<index>[0-9]{1,6})\]")
EXAMPLE = "write for example `-p defaults.seed=3` or `-p 'videos[0].chunks[1].extend.prompt=rain'`"


def apply_overrides(data: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """A copy of `data` with each `place=value` set; values are YAML. Raises UsageError."""
    changed = copy.deepcopy(data)
    for assignment in assignments:
        location, value = _parse(assignment)
        _set(changed, location, value, assignment)
    return changed


def overridden(document: Document, assignments: Sequence[str]) -> Document:
    """As `apply_overrides`; what is set stands on no line. Raises SpecError, too, where that is larger than a
    spec may be."""
    data = from_mapping(apply_overrides(document.data, assignments)).data
    places = {parse_place(assignment.partition("=")[0].strip()) for assignment in assignments}
    lines = {at: line for at, line in document.lines.items() if not _within(at, places)}
    written = {at: text for at, text in document.written.items() if not _within(at, places)}
    return Document(data, {**lines, **dict.fromkeys(places)}, written)


def _within(location: Location, places: Collection[Location]) -> bool:
    return any(location[:length] in places for length in range(1, len(location) + 1))


def _parse(assignment: str) -> tuple[Location, Any]:
    place, equals, text = assignment.partition("=")
    if not equals:
        _refuse(assignment, "`place=value`", EXAMPLE)
    location = parse_place(place.strip())
    if not location:
        _refuse(assignment, "a place such as `videos[0].name` before the `=`", EXAMPLE)
    try:
        return location, parse_yaml(f"value: {text}", "value").data["value"]
    except SpecError as error:
        problem = error.problems[0]
        if problem.rule == SYNTAX:
            quoted = f"put the value in quotes: {in_shell(place, text[:200])}"
            _refuse(assignment, "a YAML value after the `=`", quoted)
        _refuse(assignment, f"{problem.rule}; here stands {problem.value}", problem.remedy)


def for_shell(problems: Sequence[Problem], assignments: Sequence[str]) -> list[Problem]:
    """The problems; a remedy that puts what an assignment wrote in quotes keeps them from the shell."""
    written = {place.strip(): text for place, _, text in (each.partition("=") for each in assignments)}
    return [
        replace(problem, remedy=f"write {in_shell(problem.place, written[problem.place])}")
        if problem.place in written and problem.remedy.endswith(", in quotes")
        else problem
        for problem in problems
    ]


def in_shell(place: str, text: str) -> str:
    """The assignment of a text, as a shell takes it."""
    return f"-p {shlex.quote(f'{place}={json.dumps(text, ensure_ascii=False)}')}"


def parse_place(place: str) -> Location:
    """`videos[0].name` -> `("videos", 0, "name")`; empty when it is not a place."""
    parts: list[str | int] = []
    position = len(place) if place.startswith((".", "[")) else 0
    while position < len(place):
        match = _PART.match(place, position)
        if match is None:
            return ()
        parts.append(match["key"] if match["key"] is not None else int(match["index"]))
        position = match.end()
    return tuple(parts)


def _set(data: dict[str, Any], location: Location, value: Any, assignment: str) -> None:
    here: Any = data
    for depth, part in enumerate(location):
        at = place_of(location[:depth]) or "the spec"
        if isinstance(part, int):
            if not isinstance(here, list):
                _refuse(assignment, f"{at} is no list", "use a key instead of an index")
            if part >= len(here):
                _refuse(assignment, f"{at} has {len(here)} items", "count from 0")
        elif not isinstance(here, dict):
            _refuse(assignment, *_no_mapping(here, at, part))
        if depth == len(location) - 1:
            here[part] = value
        elif isinstance(part, str):
            here = _descend(here, part)
        else:
            here = here[part]


def _no_mapping(here: Any, at: str, part: str) -> tuple[str, str]:
    if isinstance(here, list):
        return f"{at} is a list, whose items count from 0", f"write `-p '{at}[0].{part}=...'`"
    return f"{at} is no mapping", "leave out the last part of the place"


def _descend(here: dict[str, Any], key: str) -> Any:
    """The value at `key`, an empty mapping where there is none yet."""
    if here.get(key) is None:
        here[key] = {}
    return here[key]


def _refuse(assignment: str, rule: str, remedy: str) -> NoReturn:
    raise UsageError([Problem("-p", assignment[:200], rule, remedy)])
