"""A spec file, or a mapping, to a checked `JobSpec`, or to every error at once. Nothing is written."""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from jobs.errors import Problem, SpecError
from jobs.loading.sources import probe_sources
from jobs.parsing.document import Document, from_mapping, read_document
from jobs.parsing.overrides import for_shell, overridden
from jobs.parsing.yaml_events import yaml_text
from jobs.planning.facts import NO_PROBES, Probes, SourceFacts
from jobs.recipes.fill import fill_recipe, name_files
from jobs.rules.explaining.explain import MAX_PROBLEMS, explain, meant_places, with_lines
from jobs.rules.faults import find_faults
from jobs.rules.files import check_folders, check_input_files, check_models, check_pickles, check_text_encoder
from jobs.rules.findings import BrokenRule, not_caused_by
from jobs.rules.media import check_media
from jobs.rules.model_contents import check_weights
from jobs.rules.model_files import check_lora_copies, check_model_files
from jobs.rules.outputs import check_inputs_stay, check_output_folder
from jobs.rules.prompts import check_prompts, uses_bundled_words
from jobs.rules.recipes import check_recipe_model
from jobs.spec.engine import NO_CODE, Code
from jobs.spec.job import JobSpec

if TYPE_CHECKING:
    from jobs.places import Location

MAX_REPAIRS = 5
STAND_IN_CHUNK = {"generate": {"prompt": "-"}}
STAND_INS: dict[str, Any] = {
    "name": "",
    "chunks": STAND_IN_CHUNK,
    "videos": {"name": "stand-in", "chunks": [STAND_IN_CHUNK]},
}
STAND_IN_FIELDS: dict[str, Any] = {"seconds": 100.0, "prompt": "-"}
"""Of a shot that says none: room for its beats and images."""
ROUNDS: Location = ("upscale", "temporal")
ONE_ROUND = 2
"""Stands in for a number of times that no rounds make, as 3: what they need is found nevertheless."""

SpecSource = str | Path | Mapping[str, Any]


@dataclass(frozen=True)
class LoadOptions:
    """`check_files` is False where the paths are another machine's; `ahead`: what recipes know of need not be
    here, nor be named."""

    code: Code = NO_CODE
    check_files: bool = True
    ahead: bool = False
    probes: Probes = NO_PROBES


@dataclass(frozen=True)
class LoadedSpec:
    """A checked spec, with absolute paths, what was measured of its sources, and the file that it was read
    from (None for a mapping)."""

    spec: JobSpec
    facts: SourceFacts = field(default_factory=SourceFacts)
    origin: Path | None = field(default=None, compare=False)

    @property
    def text(self) -> str:
        """The spec as YAML, only what was set: it loads to an equal spec from any folder."""
        data = self.spec.model_dump(mode="json", exclude_unset=True)
        return yaml_text(data)


def load_spec(
    source: SpecSource,
    overrides: Sequence[str] = (),
    code: Code = NO_CODE,
    check_files: bool = True,
    ahead: bool = False,
    probes: Probes = NO_PROBES,
) -> LoadedSpec:
    """The checked spec of a file, or of a mapping whose paths are relative to the working directory.

    `overrides` are `place=value` texts; the rest is as in `LoadOptions`. Raises SpecError with every problem,
    UsageError for an override that is not one. Writes nothing.
    """
    origin = None if isinstance(source, Mapping) else Path(source).absolute()
    if isinstance(source, Mapping):
        document, base = from_mapping(source), Path.cwd()
    else:
        document, base = read_document(Path(source)), Path(source).absolute().parent
    if overrides:
        document = overridden(document, overrides)
    options = LoadOptions(code, check_files, ahead, probes)
    try:
        return replace(check_document(document, base, options), origin=origin)
    except SpecError as error:
        raise SpecError(for_shell(error.problems, overrides)) from None


def check_document(document: Document, base: Path, options: LoadOptions) -> LoadedSpec:
    """Checks models, then rules; after a broken field the rules still run on everything it does not touch."""
    context = {"base": str(base)}
    own, data = document.data, fill_recipe(document.data)
    document = replace(document, data=name_files(data) if options.ahead else data)
    try:
        spec = JobSpec.model_validate(document.data, context=context)
    except ValidationError as error:
        problems = explain(error, document.data, document.written, own)
        if len(problems) <= MAX_PROBLEMS:
            repair = _Repair(document.data)
            repaired = repair.spec(problems, context)
            findings = _find(repaired, options)[0] if repaired else []
            kept = not_caused_by({*problems, *meant_places(problems)} - repair.guessed, findings)
            more = {finding.location: finding.problem for finding in kept} | repair.uncovered
            problems |= {place: problem for place, problem in more.items() if place not in problems}
        raise SpecError(with_lines(problems, document.lines)) from None
    findings, facts = _find(spec, options)
    if findings:
        problems = {finding.location: finding.problem for finding in findings}
        raise SpecError(with_lines(problems, document.lines))
    engine = spec.engine.with_code(options.code)
    return LoadedSpec(spec.model_copy(update={"engine": engine}), facts)


def _find(spec: JobSpec, options: LoadOptions) -> tuple[list[BrokenRule], SourceFacts]:
    """Broken rules and facts; rules that need earlier ones to hold are left out while those do not."""
    findings = find_faults(spec)
    findings += check_pickles(spec, options.code.allow_pickle)
    unrolls = not any(finding.location[0] == "matrix" for finding in findings)
    if options.probes.prompt is not None and unrolls and uses_bundled_words(spec.engine):
        findings += check_prompts(spec, options.probes.prompt)
    if not options.check_files:
        return findings, SourceFacts()
    sound = not any(finding.location[0] in ("videos", "matrix") for finding in findings)
    findings += [*check_input_files(spec), *check_models(spec, options.ahead), *check_text_encoder(spec)]
    findings += [*check_folders(spec), *check_model_files(spec), *check_recipe_model(spec)]
    findings += check_lora_copies(spec)
    findings += check_weights(spec, options.probes.bundled, _places(findings))
    findings += check_output_folder(spec)
    if sound:
        findings += check_inputs_stay(spec)
    probed, facts = probe_sources(spec, options.probes, _places(findings))
    findings += probed
    heard, facts = check_media(spec, options.probes, _places(findings), facts)
    return [*findings, *heard], facts


def _places(findings: Iterable[BrokenRule]) -> list[Location]:
    return [finding.location for finding in findings]


class _Repair:
    """A spec without its faulty fields; what needs them goes too. `guessed` are places where something near
    to what was written stands in, `uncovered` what is wrong beside the fields that were named, and was not
    found while they were there."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data: Any = copy.deepcopy(data)
        self._changed: set[Location] = set()
        self.guessed: set[Location] = set()
        self.uncovered: dict[Location, Problem] = {}

    def spec(self, faulty: Iterable[Location], context: Mapping[str, Any]) -> JobSpec | None:
        """What is left, where that is a spec."""
        tries: Counter[Location] = Counter()
        for location in faulty:
            for meant in meant_places([location]):
                _rename(self._data, location, str(meant[-1]))
                self._changed.add(meant)
        for _ in range(MAX_REPAIRS):
            for location in faulty:
                self._mend(location[: len(location) - tries[location]])
                tries[location] += 1
            try:
                return JobSpec.model_validate(self._data, context=dict(context))
            except ValidationError as error:
                found = explain(error, self._data)
            self.uncovered |= {
                place: problem for place, problem in found.items() if not self._follows(place, problem)
            }
            faulty = found
        return None

    def _follows(self, place: Location, problem: Problem) -> bool:
        """Whether what was changed may be the cause: it held that place, or is a field that it speaks of."""
        said = f"{problem.rule} {problem.remedy}"
        return any(
            place[: len(gone)] == gone
            or (gone[:-1] == place and re.search(rf"\b{re.escape(str(gone[-1]))}\b", said) is not None)
            for gone in self._changed
        )

    def _mend(self, location: Location) -> None:
        """Takes a faulty value out, or puts in a stand-in where there must be one."""
        names = [index for index, part in enumerate(location) if isinstance(part, str)]
        if not names:
            return
        last = str(location[names[-1]])
        *path, key = location if last in STAND_INS else location[: names[-1] + 1]
        data = self._data
        for part in path:
            there = part in data if isinstance(data, dict) else isinstance(data, list)
            if not there:
                return
            data = data[part]
        if last == "name":
            data[key] = "-".join(map(str, location))
        elif last in STAND_IN_FIELDS:
            data[key] = STAND_IN_FIELDS[last]
        elif location == ROUNDS and _asks_for_rounds(data.get(key)):
            data[key] = ONE_ROUND
            self.guessed.add(location)
        else:
            self._changed.add((*path, key))
            if last in STAND_INS:
                data[key] = copy.deepcopy(STAND_INS[last] if isinstance(key, int) else [STAND_INS[last]])
            else:
                data.pop(key, None)


def _asks_for_rounds(value: Any) -> bool:
    """Whether more frames were wanted: 1 or `off` ask for none, and what else a text meant is open."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 1


def _rename(data: Any, location: Location, meant: str) -> None:
    """Spells a field as it was meant, unless that stands there, too."""
    for part in location[:-1]:
        data = data[part]
    data.setdefault(meant, data.pop(location[-1]))
