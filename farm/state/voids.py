"""What would have a job's results made anew, by cause, before anything is: the recorded fingerprint held
against what is installed and on the disk here.

No model is loaded for it. What only a started engine can say, such as the choice of a kernel, is not
foreseen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

from actors.compute import compute_class
from actors.media.ffmpeg import media_fingerprint
from actors.packages import installed_versions
from cluster.inventory import UNKNOWN
from cluster.local_gpus import device_type
from farm.state.fingerprint import DIGESTS_FORM, Frozen, recorded_fingerprint
from farm.state.locks import changed_files, is_named, locked_results, read_locks, same_section
from jobs.commands import job_command
from jobs.tasks.digest import STAGE_VERSION, Fingerprint, digests_with
from jobs.tasks.graph import build_graph
from jobs.version import VERSION
from jobs.wording import amount, duration

if TYPE_CHECKING:
    from jobs.planning.planned import Plan
    from jobs.store.store import Store
    from jobs.tasks.task import Stage, StageTask, TaskGraph

CPU = "cpu"


@dataclass(frozen=True, slots=True)
class Void:
    """One cause that would have `tasks` of the `of` results that are there made anew, which takes one worker
    `seconds`. `remedy` is the command that keeps them; empty where the spec itself names what changed."""

    cause: str
    tasks: int
    of: int
    seconds: float
    remedy: str = ""

    def __str__(self) -> str:
        made = f"{self.tasks} of {amount(self.of, 'task')} anew ({duration(self.seconds)})"
        keeps = f"; `{self.remedy}` keeps what is committed" if self.remedy else ""
        return f"{self.cause} would make {made}{keeps}"


@dataclass(frozen=True)
class Cause:
    """Something that is another one here: what, as a change of the recorded fingerprint. A lock outlasts it
    where it is `lockable`."""

    words: str
    change: Callable[[Fingerprint], Fingerprint]
    lockable: bool = True


class Recorded:
    """What a job's results were made with, beside the plan of today and `device`, on which it would be
    rendered: the accelerator's type as Ray names it, or `cpu`."""

    def __init__(self, store: Store, plan: Plan, kept: Frozen, device: str) -> None:
        self.store, self.kept, self._device = store, kept, device
        self.plan = plan.resolve(kept.modes)
        self._locks = read_locks(store)

    @classmethod
    def of(cls, store: Store, plan: Plan, device: str) -> Recorded | None:
        """None where no result is recorded, or those of another engine."""
        kept = store.recall(DIGESTS_FORM)
        if kept is None or not kept.engine or not kept.sources:
            return None
        return cls(store, plan, kept, device) if kept.config.get("name") == plan.engine.name else None

    @cached_property
    def graph(self) -> TaskGraph:
        """Today's tasks, with what `auto` became."""
        return build_graph(self.plan)

    @property
    def made_on(self) -> str:
        """The type of device that the results were made on, as `device` names it."""
        compute = str(self.kept.engine.get("compute", CPU))
        return CPU if compute.startswith(CPU) else device_type(compute)

    @cached_property
    def causes(self) -> tuple[Cause, ...]:
        """Everything that is another one here."""
        every = (_packages, _engine_version, self._compute, _media, _stages, self._files, self._inputs)
        return tuple(cause for look in every for cause in look(self.kept))

    def expected(self) -> Fingerprint:
        """What a render here would make digests of, as far as that is known without a worker."""
        then = self._then
        if not same_section(self.kept.config, self.plan.engine):
            # Which models and numbers it then has is for a worker to say.
            then = _with_engine(dict.fromkeys(STAGE_VERSION, "unknown"))(then)
        return reduce(lambda fingerprint, cause: cause.change(fingerprint), self.causes, then)

    def digests(self, fingerprint: Fingerprint) -> dict[str, str]:
        """The digests of today's tasks, with what is locked."""
        locked = locked_results(self._locks, self.plan, self.graph, fingerprint)
        return digests_with(self.graph, fingerprint, locked).by_task

    def voids(self, seconds: Callable[[StageTask], float]) -> tuple[Void, ...]:
        """What each cause alone would have made anew, most tasks first; `seconds` estimates a task."""
        if not self.causes:
            return ()
        there = self.store.committed_digests() | self.store.evicted_digests()
        known = {task: digest for task, digest in self.digests(self._then).items() if digest in there}
        lock = job_command("lock", self.store.job_id, self.store.runs_url)
        found = []
        for cause in self.causes:
            after = self.digests(cause.change(self._then))
            tasks = [task for task, digest in known.items() if after[task] != digest]
            each = sum(seconds(self.graph.tasks[task]) for task in tasks)
            found.append(Void(cause.words, len(tasks), len(known), each, lock if cause.lockable else ""))
        return tuple(sorted((void for void in found if void.tasks), key=lambda void: -void.tasks))

    @cached_property
    def _then(self) -> Fingerprint:
        now = recorded_fingerprint(self.graph, self.plan, self.kept)
        return replace(now, files={path: self.kept.inputs.get(path, now.files[path]) for path in now.files})

    def _compute(self, kept: Frozen) -> Iterator[Cause]:
        was, here = str(kept.engine.get("compute", "")), self._device
        now = compute_class(CPU) if here == CPU else here
        same = was == now or here == self.made_on != CPU
        if was and here != UNKNOWN and not same:
            yield Cause(f"compute class {was} -> {now}", _with_engine({"compute": now}))

    def _files(self, kept: Frozen) -> Iterator[Cause]:
        changed = list(changed_files(kept.sources.get("files", {})))
        for path, was, now in changed:
            if is_named(path, self.plan):
                yield Cause(f"another content of {path}", _with_content(was, now), False)
        if own := [path for path, _, _ in changed if not is_named(path, self.plan)]:
            words = f"{amount(len(own), 'file')} that came with the engine, such as {own[0]},"
            yield Cause(words, _with_engine({"own files": own}))

    def _inputs(self, kept: Frozen) -> Iterator[Cause]:
        for path, _, now in changed_files(kept.inputs):
            yield Cause(f"another content of {path}", _with_file(path, now), False)


def _packages(kept: Frozen) -> Iterator[Cause]:
    recorded = kept.sources.get("packages", {})
    now = installed_versions(recorded)
    for name, was in recorded.items():
        if now[name] != was:
            yield Cause(f"{name} {was or 'none'} -> {now[name] or 'none'}", _with_package(name, now[name]))


def _engine_version(kept: Frozen) -> Iterator[Cause]:
    was, now = kept.engine.get("version"), _version_here(kept.config["name"])
    if now is not None and was != now:
        words = f"the farm's {kept.config['name']} engine {was} -> {now} (farm {kept.farm} -> {VERSION})"
        yield Cause(words, _with_engine({"version": now}))


def _version_here(engine: str) -> int | None:
    """That of an engine whose module can be asked without torch."""
    if engine == "diffusers":
        from actors.engines.diffusers.engine import VERSION as DIFFUSERS

        return DIFFUSERS
    if engine == "fake":
        from actors.engines.fake import VERSION as FAKE

        return FAKE
    return None


def _media(kept: Frozen) -> Iterator[Cause]:
    for name, now in media_fingerprint().items():
        was = kept.media.get(name, now)
        if was != now:
            yield Cause(_builds(name, was, now), _with_media({name: now}))


def _builds(name: str, was: str, now: str) -> str:
    """`ffmpeg 7.0 -> 7.1`, of the words by which builds are named: program, version and digest."""
    old, new = was.removeprefix(f"{name} "), now.removeprefix(f"{name} ")
    shown = old.partition(" ")[0], new.partition(" ")[0]
    return f"{name} {' -> '.join(shown if shown[0] != shown[1] else (old, new))}"


def _stages(kept: Frozen) -> Iterator[Cause]:
    for stage, now in STAGE_VERSION.items():
        was = kept.stages.get(stage.value, now)
        if was != now:
            words = f"the farm's {stage} stage {was} -> {now} (farm {kept.farm} -> {VERSION})"
            yield Cause(words, _with_stages({stage: now}))


def _with_stages(versions: Mapping[Stage, int]) -> Callable[[Fingerprint], Fingerprint]:
    return lambda then: replace(then, stages={**then.stages, **versions})


def _with_engine(values: Mapping[str, Any]) -> Callable[[Fingerprint], Fingerprint]:
    return lambda then: replace(then, engine={**then.engine, **values})


def _with_media(values: Mapping[str, str]) -> Callable[[Fingerprint], Fingerprint]:
    return lambda then: replace(then, media={**then.media, **values})


def _with_file(path: str, digest: str) -> Callable[[Fingerprint], Fingerprint]:
    return lambda then: replace(then, files={**then.files, path: digest})


def _with_package(name: str, version: str) -> Callable[[Fingerprint], Fingerprint]:
    def change(then: Fingerprint) -> Fingerprint:
        packages = {**then.engine.get("packages", {}), name: version}
        alone = {name: version} if name in then.engine else {}
        return replace(then, engine={**then.engine, "packages": packages, **alone})

    return change


def _with_content(was: str, now: str) -> Callable[[Fingerprint], Fingerprint]:
    """Another model file: its digest stands where the engine names it, under the stages that read it."""
    return lambda then: replace(then, engine=_replaced(then.engine, was, now))


def _replaced(value: Any, was: str, now: str) -> Any:
    if isinstance(value, Mapping):
        return {key: _replaced(each, was, now) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replaced(each, was, now) for each in value]
    return now if value == was else value
