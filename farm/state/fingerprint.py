"""The engine's fingerprint, resolved once per job and kept: is what it says still true on this machine?

What says `auto` is resolved by the first worker that loads the engine and stands in `digests.json` from
then on. A later render of the same job reuses it without loading a model, as long as the software and the
model files it names are unchanged.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import actors
import jobs
from actors.media.ffmpeg import media_fingerprint
from actors.packages import installed_versions
from jobs.errors import CannotRun
from jobs.file_digests import file_digest
from jobs.planning.params import PassParams
from jobs.planning.rounds.params import TileParams
from jobs.records import Form
from jobs.spec.engine import EngineConfig
from jobs.store.commits import Digest
from jobs.store.documents import DIGESTS
from jobs.tasks.digest import STAGE_VERSION, Fingerprint, input_files
from jobs.version import VERSION

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.planning.sampling import PlannedGuider
    from jobs.store.store import Store
    from jobs.tasks.task import TaskGraph

MOST_SHOWN = 40


@dataclass(frozen=True, slots=True)
class Frozen:
    """What `digests.json` holds: the digest of every task in plan order, and what those that are not locked
    stand for.

    `config` is the spec's engine section, `engine` the fingerprint that a worker reported of it, `modes` what
    it made of each `auto`, `sources` the packages and files that it is made of. `media` are the tools of the
    driver's machine, `stages` the `STAGE_VERSION` of the farm that wrote it, whose version is `farm`, and
    whose modules have the SHA-256 `code`; `inputs` are the content digests of the files that the tasks read.
    """

    digests: dict[str, Digest] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    samplers: tuple[str, ...] = ()
    guiders: dict[str, list[str]] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)
    farm: str = ""
    code: str = ""
    inputs: dict[str, str] = field(default_factory=dict)


DIGESTS_FORM = Form(DIGESTS, Frozen)


def job_fingerprint(graph: TaskGraph, engine: Mapping[str, Any]) -> Fingerprint:
    """What the digests of this graph stand for: the engine, this machine's media tools, the input files."""
    return Fingerprint(engine=dict(engine), media=media_fingerprint(), files=content_of(graph))


def recorded_fingerprint(graph: TaskGraph, plan: Plan, kept: Frozen) -> Fingerprint:
    """As `job_fingerprint`, with the software that is recorded instead of what is here."""
    stages = {stage: kept.stages.get(stage.value, version) for stage, version in STAGE_VERSION.items()}
    threads = {"threads": plan.run.threads} if "threads" in kept.engine else {}
    return Fingerprint({**kept.engine, **threads}, kept.media, content_of(graph), stages)


def content_of(graph: TaskGraph) -> dict[str, str]:
    """The content digests of the files that the tasks read, by path."""
    return {path: file_digest(path) for path in sorted(input_files(graph))}


def frozen_report(store: Store, plan: Plan) -> dict[str, Any] | None:
    """What a worker once reported of the plan's engine section and threads (`fingerprint`, `modes`,
    `sources`, `samplers`, `guiders`); None where nothing is stored, or it is true no longer."""
    kept = store.recall(DIGESTS_FORM)
    if kept is None or not _same_section(kept.config, plan.engine.model_dump(mode="json")):
        return None
    if not kept.engine or not kept.sources or not still_true(kept.sources):
        return None
    if kept.code != _own_code():
        return None
    if kept.engine.get("threads", plan.run.threads) != plan.run.threads:
        return None
    return as_report(kept)


def as_report(kept: Frozen) -> dict[str, Any]:
    """What the worker reported that `kept` was made from."""
    return {
        "fingerprint": kept.engine,
        "sources": kept.sources,
        "modes": kept.modes,
        "samplers": kept.samplers,
        "guiders": kept.guiders,
    }


def frozen_now(
    plan: Plan, report: Mapping[str, Any], digests: Mapping[str, str], inputs: Mapping[str, str]
) -> Frozen:
    """What is kept of a job from now on."""
    return Frozen(
        digests=dict(digests),
        config=plan.engine.model_dump(mode="json"),
        engine=dict(report["fingerprint"]),
        modes=dict(report.get("modes", {})),
        sources=dict(report.get("sources", {})),
        samplers=tuple(report.get("samplers", ())),
        guiders={name: list(params) for name, params in report.get("guiders", {}).items()},
        media=media_fingerprint(),
        stages=_stage_versions(),
        farm=VERSION,
        code=_own_code(),
        inputs=dict(inputs),
    )


@cache
def _own_code() -> str:
    """SHA-256 of the farm's modules that say what results are made with: other ones may say another thing of
    the same packages and files."""
    total = hashlib.sha256()
    for folder in (Path(package.__path__[0]) for package in (actors, jobs)):
        for path in sorted(folder.rglob("*.py")):
            total.update(path.relative_to(folder.parent).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def _stage_versions() -> dict[str, int]:
    return {stage.value: version for stage, version in STAGE_VERSION.items()}


def changed_since(store: Store, now: Frozen, locked: Set[str] = frozenset()) -> str:
    """With what the job's committed results that are not `locked` were made, and how that changed since, in
    words; empty where it did not, where there are none, or where the spec's own engine section is another one
    now."""
    kept = store.recall(DIGESTS_FORM)
    if kept is None or not _same_section(kept.config, now.config):
        return ""
    was, is_now = _made_with(kept), _made_with(now)
    changes = _named(
        [key for key, value in was.items() if is_now.get(key) != value],
        was,
        lambda key: f"{key} was {_short(was[key])} and is {_short(is_now.get(key))}",
    )
    if not changes or not (store.committed_digests() - locked).intersection(kept.digests.values()):
        return ""
    model = kept.config.get("diffusion_model") or kept.config.get("checkpoint") or "bundled"
    engine = f"engine {kept.config.get('name')}, model {model}"
    return f"rendered by farm {kept.farm or 'of an earlier version'} with {engine}: {changes}"


def _same_section(then: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two engine sections are one. A field that one of them does not know yet says what it says when
    it is left out."""
    usual = EngineConfig().model_dump(mode="json")
    return {**usual, **then} == {**usual, **now}


def _made_with(frozen: Frozen) -> dict[str, Any]:
    stages = {f"the {stage} stage's version": version for stage, version in frozen.stages.items()}
    return {**frozen.media, **_by_package(frozen.engine), **stages}


def _by_package(engine: Mapping[str, Any]) -> dict[str, Any]:
    """An engine's fingerprint with each of its packages under its own name."""
    others = {key: value for key, value in engine.items() if key != "packages"}
    return {**others, **engine.get("packages", {})}


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}..."


def difference(report: Mapping[str, Any], engine: Mapping[str, Any]) -> str:
    """How the software that a worker reports differs from what a job's digests stand for, `engine` being the
    job's fingerprint; usually empty. A worker that hosts no models reports no engine."""
    wanted = {**media_fingerprint(), **_by_package(engine)}
    own = {**report.get("media", {}), **_by_package(report["fingerprint"])}
    keys = [key for key in wanted if key in own and own[key] != wanted[key]]
    return _named(keys, own, lambda key: f"{key} is {own[key]} there and {wanted[key]} in this job")


def _named(keys: Sequence[str], values: Mapping[str, Any], say: Callable[[str], str]) -> str:
    """What differs, in words; digests of model files say nothing to anybody."""
    models = [key for key in keys if isinstance(values[key], dict)]
    others = [say(key) for key in keys if key not in models]
    if models:
        others.append(f"other models, or another use of them, for {', '.join(models)}")
    return "; ".join(others)


def require_choices(graph: TaskGraph, report: Mapping[str, Any]) -> None:
    """Raise CannotRun where the job names a sampler or a guider's parameter that the started engine does not
    have.

    A report without `samplers` and `guiders` is that of an engine whose choices were checked with the spec.
    """
    samplers, guiders = report.get("samplers", ()), report.get("guiders", {})
    for name, task in graph.tasks.items():
        if isinstance(task.params, PassParams | TileParams):
            _require_sampler(name, task.params.sampling.sampler, samplers)
            _require_guider(name, task.params.sampling.guider, guiders)


def _require_sampler(task: str, sampler: str, known: Sequence[str]) -> None:
    if known and sampler not in known:
        near = difflib.get_close_matches(sampler, known, n=1) or known[:1]
        raise CannotRun(f"{task}: the engine has no sampler {sampler!r}: use one it has, such as {near[0]}.")


def _require_guider(task: str, guider: PlannedGuider, known: Mapping[str, Sequence[str]]) -> None:
    for key, _ in guider.params:
        if guider.name in known and key not in known[guider.name]:
            has = ", ".join(known[guider.name]) or "none"
            raise CannotRun(
                f"{task}: with this model and this version of the engine the guider {guider.name} has no "
                f"parameter {key!r}: its parameters are {has}."
            )


def still_true(sources: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether the packages (by version) and files (by SHA-256) that an engine was made of are what they
    were."""
    return _same_packages(sources.get("packages", {})) and _same_files(sources.get("files", {}))


def _same_packages(packages: Mapping[str, str]) -> bool:
    return installed_versions(packages) == packages


def _same_files(files: Mapping[str, str]) -> bool:
    return all(Path(path).exists() and file_digest(path) == digest for path, digest in files.items())
