"""Locks: results of a job that count whatever it is rendered with later.

A lock is the fingerprint that results were made with, beside their digests. A task whose digest under that
fingerprint is among them keeps it; what the spec changed has another digest there, and takes today's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.commands import job_command
from jobs.file_digests import file_digest
from jobs.records import Form
from jobs.store.commits import Digest
from jobs.store.documents import LOCKED
from jobs.tasks.digest import STAGE_VERSION, Fingerprint, LockedResults
from jobs.tasks.graph import build_graph
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.spec.engine import EngineConfig
    from jobs.store.store import Store
    from jobs.tasks.task import TaskGraph

OWN_CODE = ".py"
"""A file that an engine names as a source of its results and that is no model: a module of its own."""


@dataclass(frozen=True, slots=True)
class Lock:
    """Results by their `digests`, and what they were made with, as in `Frozen`. `locked_s` is epoch
    seconds."""

    digests: tuple[Digest, ...] = ()
    config: dict[str, Any] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)
    media: dict[str, str] = field(default_factory=dict)
    stages: dict[str, int] = field(default_factory=dict)
    farm: str = ""
    locked_s: float = 0.0

    def same_software(self, other: Lock) -> bool:
        """Whether both stand for the same fingerprint."""
        return replace(self, digests=(), locked_s=0.0) == replace(other, digests=(), locked_s=0.0)


@dataclass(frozen=True, slots=True)
class Locks:
    """What `locked.json` holds: one lock for each software that locked results were made with."""

    locks: tuple[Lock, ...] = ()

    @property
    def digests(self) -> frozenset[str]:
        """Every locked result."""
        return frozenset(digest for lock in self.locks for digest in lock.digests)

    def with_lock(self, added: Lock) -> Locks:
        """These, and the results of `added`: in the lock of the same software, where there is one."""
        same = next((lock for lock in self.locks if lock.same_software(added)), None)
        if same is None:
            return Locks((*self.locks, added))
        every = tuple(dict.fromkeys((*same.digests, *added.digests)))
        merged = replace(same, digests=every, locked_s=added.locked_s)
        return Locks(tuple(merged if lock is same else lock for lock in self.locks))

    def without(self, digests: Iterable[str]) -> Locks:
        """These without some results; a lock that has none left goes."""
        gone = frozenset(digests)
        left = (
            replace(lock, digests=tuple(each for each in lock.digests if each not in gone))
            for lock in self.locks
        )
        return Locks(tuple(lock for lock in left if lock.digests))


LOCKS_FORM = Form(LOCKED, Locks)


def read_locks(store: Store) -> Locks:
    """What is locked of a job. Raises DamagedDocument, NewerFormat: without it results would be made
    again."""
    again = job_command("unlock", store.job_id, store.runs_url)
    remedy = f"restore the file, or `{again}`: what other software made is then rendered again"
    return store.load(LOCKS_FORM, remedy) or Locks()


def write_locks(store: Store, locks: Locks) -> None:
    """Keeps what is locked; no file where nothing is. The job's lock is held."""
    if locks.locks:
        store.save(LOCKS_FORM, locks)
    else:
        store.backend.delete(LOCKED)


def locked_results(
    locks: Locks, plan: Plan, graph: TaskGraph, today: Fingerprint
) -> tuple[LockedResults, ...]:
    """The locks as digests are made with them. What the spec says of models and threads is today's; the rest
    is what it was."""
    return tuple(_results(lock, plan, graph, today) for lock in locks.locks)


def same_models(config: Mapping[str, Any], sources: Mapping[str, Mapping[str, str]], plan: Plan) -> bool:
    """Whether the spec's engine section is what it was in `config`, and the model files that it names have
    the content that they had. One that is gone is no other one."""
    return same_section(config, plan.engine) and not any(changed_models(sources, plan))


def changed_models(sources: Mapping[str, Mapping[str, str]], plan: Plan) -> Iterator[str]:
    """The model files whose content is another one now."""
    return (path for path, _, _ in changed_files(sources.get("files", {})) if is_named(path, plan))


def changed_files(recorded: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Of files with the digests of then, those of other content, with both digests. One that is gone may only
    lie elsewhere."""
    for path, was in recorded.items():
        if Path(path).exists() and (now := file_digest(path)) != was:
            yield path, was, now


def is_named(path: str, plan: Plan) -> bool:
    """Whether the spec names this source of an engine's results: the bundled model and an engine's own
    modules come with the software."""
    named = plan.engine.checkpoint or plan.engine.diffusion_model
    return named is not None and not path.endswith(OWN_CODE)


def same_section(config: Mapping[str, Any], engine: EngineConfig) -> bool:
    """Whether the spec's engine section is what it was in `config`, as far as it reaches bytes. Fields that
    the section of then does not know have to say what they say when left out."""
    now = engine.model_dump(mode="json", exclude={"fake"})
    usual = type(engine)().model_dump(mode="json")
    return all(config.get(key, usual[key]) == value for key, value in now.items())


def _results(lock: Lock, plan: Plan, graph: TaskGraph, today: Fingerprint) -> LockedResults:
    stages = {stage: lock.stages.get(stage.value, version) for stage, version in STAGE_VERSION.items()}
    resolved = plan.resolve(lock.modes)
    return LockedResults(
        Fingerprint(_engine(lock, plan, today.engine), lock.media, today.files, stages),
        frozenset(lock.digests),
        graph if resolved == plan else build_graph(resolved),
    )


def _engine(lock: Lock, plan: Plan, today: Mapping[str, Any]) -> dict[str, Any]:
    taken: dict[str, Any] = {"threads": plan.run.threads}
    if lock.config.get("dtype") != plan.engine.dtype:
        taken["dtype"] = today.get("dtype")
    if not same_models(lock.config, lock.sources, plan):
        taken |= {key: today.get(key) for key in ("engine", *(stage.value for stage in Stage))}
    return {**lock.engine, **{key: value for key, value in taken.items() if key in lock.engine}}
