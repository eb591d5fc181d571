"""What `--output json` prints: one type a command. `farm schema COMMAND` prints its JSON Schema."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from farm.state.job_state import FailedTask, FilmState, TaskCounts

if TYPE_CHECKING:
    from farm.events import Event


@dataclass(frozen=True, slots=True)
class ProblemRecord:
    """One mistake of the user: where, what stands there, what is allowed, what to write instead; the line of
    the spec file where that is known."""

    place: str
    value: str
    rule: str
    remedy: str
    line: int | None = None


@dataclass(frozen=True, slots=True)
class ErrorResult:
    """What any command prints instead of its result when it refuses; `problems` only where input is wrong."""

    error: str
    exit_code: int
    message: str
    problems: tuple[ProblemRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class InitResult:
    """`farm init`; `recipe` is that of `--checkpoint`."""

    spec: str
    job: str
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class GapRecord:
    """What a workflow says and a spec does not; `effect` is `film` where the film is another one for it,
    `bits` where its bytes may differ, `none` otherwise."""

    place: str
    value: str
    reason: str
    effect: str


@dataclass(frozen=True, slots=True)
class ImportResult:
    """`farm import`; `whole` says whether no gap makes another film."""

    spec: str
    job: str
    videos: int
    chunks: int
    whole: bool
    gaps: tuple[GapRecord, ...]


@dataclass(frozen=True, slots=True)
class CheckedVideo:
    """One film of a checked spec; pixels as delivered."""

    name: str
    chunks: int
    frames: int
    seconds: float
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class CheckResult:
    """`farm check`, when there is no mistake; `warnings` are what it renders all the same."""

    job: str
    videos: tuple[CheckedVideo, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RemovedRecord:
    """A field that left the spec: what it said, on which line, and what says it instead."""

    place: str
    value: str
    line: int | None
    instead: str


@dataclass(frozen=True, slots=True)
class MigrateResult:
    """`farm migrate`. With `--dry-run` nothing was written, and `changed` says whether it would be."""

    spec: str
    changed: bool
    dry_run: bool
    removed: tuple[RemovedRecord, ...]


@dataclass(frozen=True, slots=True)
class RenderResult:
    """`farm render`, and `farm resume` where it renders. `report` is empty when none could be written."""

    job: str
    outcome: str
    reason: str
    run_dir: str
    report: str
    videos: tuple[FilmState, ...]
    tasks: TaskCounts
    failed: tuple[FailedTask, ...]
    exact: bool
    topology: str
    started_s: float
    ended_s: float | None


@dataclass(frozen=True, slots=True)
class SubmitResult:
    """`farm submit`. With `--no-wait` the job has just begun: status and exit code are not known yet; with
    `--dry-run` nobody was asked, and `message` says what was checked."""

    submission_id: str
    job: str
    address: str
    command: str
    status: str = ""
    exit_code: int | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ReportResult:
    """`farm report`."""

    job: str
    report: str


@dataclass(frozen=True, slots=True)
class ServeResult:
    """`farm serve`: the page's address, which holds its token."""

    url: str


@dataclass(frozen=True, slots=True)
class NotifyResult:
    """`farm notify`: whose end was sent, or which label was tried."""

    job: str | None
    label: str | None


@dataclass(frozen=True, slots=True)
class InstallResult:
    """`farm nodes install`: what was linked or copied."""

    nodes: str
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A file that a recipe needs, or folders of a repository; `field` is that of `engine` which names it."""

    field: str
    repo: str
    file: str | None
    folders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipeRecord:
    """One recipe: `fills` are sections of a spec, `omits` published settings without a form in specs."""

    name: str
    title: str
    family: str
    size: str
    versions: tuple[str, ...]
    variant: str
    engines: tuple[str, ...]
    source: tuple[str, ...]
    licence: str
    licence_date: str | None
    licence_url: str
    licence_note: str
    files: tuple[RecipeFile, ...]
    fills: dict[str, Any]
    omits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecipesResult:
    """`farm recipes`: all of them, or the one that was named."""

    recipes: tuple[RecipeRecord, ...]


RESULTS: dict[str, str] = {
    "init": "farm.cli.results:InitResult",
    "import": "farm.cli.results:ImportResult",
    "doctor": "farm.doctor.finding:DoctorReport",
    "check": "farm.cli.results:CheckResult",
    "plan": "farm.verbs.plan:PlanReport",
    "migrate": "farm.cli.results:MigrateResult",
    "recipes": "farm.cli.results:RecipesResult",
    "models": "farm.models.fetch:ModelsResult",
    "selftest": "farm.selftest.run:Selftest",
    "render": "farm.cli.results:RenderResult",
    "submit": "farm.cli.results:SubmitResult",
    "list": "farm.verbs.listing:JobRows",
    "status": "farm.verbs.status:JobStatus",
    "logs": "farm.events:Event",
    "why": "farm.verbs.why:Story",
    "pause": "farm.verbs.control:ControlResult",
    "resume": "farm.verbs.control:ControlResult",
    "cancel": "farm.verbs.control:ControlResult",
    "retry": "jobs.tasks.retry:Retry",
    "approve": "farm.verbs.approve:ApproveResult",
    "pick": "farm.verbs.pick:PickResult",
    "lock": "farm.verbs.lock:LockResult",
    "unlock": "farm.verbs.lock:LockResult",
    "verify": "farm.verbs.verify:VerifyReport",
    "delete": "farm.verbs.cleanup:DeleteResult",
    "prune": "farm.verbs.cleanup:PruneResult",
    "report": "farm.cli.results:ReportResult",
    "serve": "farm.cli.results:ServeResult",
    "notify": "farm.cli.results:NotifyResult",
    "nodes": "farm.cli.results:InstallResult",
    "error": "farm.cli.results:ErrorResult",
}
"""Where the type of each command's result lives; `error` is what any of them may print instead."""


def result_type(command: str) -> Any:
    """The type of what `command` prints; raises KeyError."""
    module, _, name = RESULTS[command].partition(":")
    return getattr(import_module(module), name)


def result_schema(command: str) -> dict[str, Any]:
    """The JSON Schema (2020-12) of what `command` prints; raises KeyError."""
    schema = _log_schema() if command == "logs" else _schema_of(result_type(command))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _schema_of(kind: Any) -> dict[str, Any]:
    from pydantic import TypeAdapter

    schema: dict[str, Any] = _closed(TypeAdapter(kind).json_schema(mode="serialization"))
    return schema


def _log_schema() -> dict[str, Any]:
    """A list of records, each an event with its tag, its format and the time it was seen."""
    from farm.events import EVENT_TYPES

    shared: dict[str, Any] = {}
    records = [_record_schema(kind, shared) for kind in EVENT_TYPES.values()]
    return {"type": "array", "items": {"oneOf": records}, "$defs": shared}


def _record_schema(kind: type[Event], shared: dict[str, Any]) -> dict[str, Any]:
    from farm.events import EVENT_FORMS

    schema = _schema_of(kind)
    shared |= schema.pop("$defs", {})
    form = {"const": EVENT_FORMS[kind.name].format}
    tag = {"format": form, "event": {"const": kind.name}, "at_s": {"type": "number"}}
    return {
        **schema,
        "properties": {**tag, **schema["properties"]},
        "required": [*tag, *schema["required"]],
    }


def _closed(schema: Any) -> Any:
    """The schema with every object that lists its properties closed to others, and all of them required."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict):
        closed |= {"additionalProperties": False, "required": list(schema["properties"])}
    return closed
