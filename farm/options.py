"""The options of a render, checked when they are given."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.commands import DEFAULT_RUNS
from jobs.errors import Problem, UsageError
from jobs.places import shown
from jobs.spec.engine import Code
from jobs.tasks.task import Stage

ON_RAY = ("topology", "gpus", "address", "grace_s")
"""Options that mean nothing to a render in one process."""

SERIAL_RULE = "a serial render uses no Ray: one process does everything"


@dataclass(frozen=True, slots=True)
class RenderOptions:
    """How to render. Nothing here reaches a film's bytes.

    `runs` holds the run directories (a folder, or an fsspec URL); `serial` renders in this process without
    Ray; `gpus` is how many GPUs to use, logical ones where the machine has none; `address` joins a running
    Ray cluster; `topology` overrides `run.topology`; `until` ends after that stage; `overrides` are
    `key=value` texts; `comfyui` (a folder) and `allow_pickle` let code run, which no spec can;
    `resume` takes a cancelled job up again; `grace_s` is how long, in seconds, a render that gets SIGTERM
    waits for what runs. Raises UsageError for values that are none of these, and for
    options of Ray beside `serial`.
    """

    runs: str | Path = DEFAULT_RUNS
    job_id: str | None = None
    serial: bool = False
    topology: str | None = None
    gpus: int | None = None
    address: str | None = None
    grace_s: float | None = None
    until: Stage | str | None = None
    overrides: Sequence[str] = ()
    comfyui: str | Path | None = None
    allow_pickle: bool = False
    resume: bool = False

    def __post_init__(self) -> None:
        problems = [*_wrong_values(self), *_contradictions(self)]
        if problems:
            raise UsageError(problems)

    @property
    def runs_url(self) -> str:
        """`runs` as text."""
        return str(self.runs)

    @property
    def code(self) -> Code:
        """What may run as code; the folder absolute, since workers have working directories of their own."""
        folder = self.comfyui and str(Path(self.comfyui).expanduser().absolute())
        return Code(folder or None, self.allow_pickle)

    @property
    def last_stage(self) -> Stage | None:
        """`until` as a stage."""
        return None if self.until is None else Stage(self.until)


def _wrong_values(options: RenderOptions) -> Iterator[Problem]:
    for name in ("job_id", "topology", "address"):
        value = getattr(options, name)
        if value is not None and not isinstance(value, str):
            yield Problem(name, shown(value), "text, or None", "give a text")
    for name in ("serial", "allow_pickle", "resume"):
        value = getattr(options, name)
        if not isinstance(value, bool):
            yield Problem(name, shown(value), "True or False", "write one of these")
    if not isinstance(options.runs, str | Path) or not str(options.runs):
        yield Problem("runs", shown(options.runs), "a folder or a URL", "leave it out for ./runs")
    if options.comfyui is not None and not isinstance(options.comfyui, str | Path):
        yield Problem("comfyui", shown(options.comfyui), "the folder of ComfyUI, or None", "give a path")
    if options.gpus is not None and not _is_count(options.gpus):
        yield Problem("gpus", shown(options.gpus), "a whole number from 1", "write for example gpus=2")
    if options.grace_s is not None and not _is_seconds(options.grace_s):
        yield Problem("grace_s", shown(options.grace_s), "seconds, 0 or more", "write for example grace_s=90")
    if options.until is not None and options.until not in [stage.value for stage in Stage]:
        yield Problem("until", shown(options.until), f"one of {', '.join(Stage)}", "name a stage")
    if not _are_texts(options.overrides):
        rule, remedy = "a list of `key=value` texts", 'write for example overrides=["defaults.seed=8"]'
        yield Problem("overrides", shown(options.overrides), rule, remedy)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)


def _contradictions(options: RenderOptions) -> Iterator[Problem]:
    """A serial render would leave these out of account."""
    for name in ON_RAY if options.serial is True else ():
        value = getattr(options, name)
        if value is not None:
            remedy = f"leave out `{name}` or `serial`"
            yield Problem(name, f"{shown(value)} beside serial", SERIAL_RULE, remedy)
