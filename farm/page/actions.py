"""What can be done with a job from the page: each action says what it would cost, and then does it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.state.event_log import EventLog
from farm.state.job_state import DONE, LIVE
from farm.verbs import control
from farm.verbs.approve import approve
from farm.verbs.cleanup import delete_job, survey_delete
from farm.verbs.costs import tasks_left, work_of
from farm.verbs.pick import find_take, not_taken_up, pick
from farm.verbs.retry import apply_retry, checked_prompt, retry_closure
from farm.verbs.status import status_of
from jobs.errors import FarmError, InputError, Problem, UsageError
from jobs.tasks.retry import Retry, Selection, parse_chunks
from jobs.wording import amount, size_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.page.drivers import Drivers
    from farm.page.reading import Reader
    from farm.verbs.run import JobDocuments

MOST_NAMED = 12
FIELDS = {"--chunks": "Chunks", "--prompt": "Another prompt", "--videos": "Film"}
"""What the page calls what is an option on the command line."""
AT_ONCE = "the driver that renders the job takes it in"


@dataclass(frozen=True, slots=True)
class Wish:
    """What the page asked for: `videos` and `chunks` choose (empty: all), `reseed` samples these with new
    seeds, `prompt` with another prompt, `films` deletes them too."""

    videos: tuple[str, ...] = ()
    chunks: str = ""
    reseed: bool = False
    films: bool = False
    prompt: str = ""

    @classmethod
    def read(cls, text: str) -> Wish:
        """A JSON object of these fields. Raises UsageError for anything else."""
        try:
            record = json.loads(text)
        except ValueError:
            record = None
        if not isinstance(record, dict):
            record = {"": record}
        videos, chunks = record.get("videos", []), record.get("chunks", "")
        flags = {name: record.get(name, False) for name in ("reseed", "films")}
        prompt = record.get("prompt", "")
        right = isinstance(videos, list) and all(isinstance(name, str) for name in (*videos, chunks, prompt))
        right = right and all(isinstance(flag, bool) for flag in flags.values())
        if not right or set(record) - {"videos", "chunks", "prompt", *flags}:
            rule, remedy = "videos, chunks, reseed, prompt and films, each of its type", "reload the page"
            raise UsageError([Problem("request", "something else", rule, remedy)])
        return cls(tuple(videos), chunks, prompt=checked_prompt(prompt.strip() or None), **flags)

    @property
    def selection(self) -> Selection:
        """As `farm retry` takes it. Raises UsageError where nothing is chosen."""
        if not self.videos and not self.chunks.strip():
            rule = "videos, chunks or both"
            raise UsageError([Problem("retry", "nothing chosen", rule, "say which to render again")])
        chosen = frozenset(self.videos), parse_chunks(self.chunks)
        return Selection(*chosen, reseed=self.reseed, prompt=self.prompt)


class Actions:
    """Each of `NAMES` on one job: `ask` says in lines what it would do and cost, `do` does it and says what
    happens now. Both raise FarmError."""

    def __init__(self, reader: Reader, drivers: Drivers) -> None:
        self._reader, self._drivers = reader, drivers
        self._asks: dict[str, Callable[[JobDocuments, Wish], list[str]]] = {
            "pause": self._ask_pause,
            "cancel": self._ask_cancel,
            "resume": self._ask_resume,
            "retry": self._ask_retry,
            "delete": self._ask_delete,
            "approve": self._ask_approve,
            "pick": self._ask_pick,
        }
        self._deeds: dict[str, Callable[[JobDocuments, Wish], str]] = {
            "pause": lambda run, _: control.pause(self._reader.runs, run.job).message,
            "cancel": lambda run, _: control.cancel(self._reader.runs, run.job).message,
            "resume": lambda run, _: self._resume(run),
            "retry": self._retry,
            "delete": self._delete,
            "approve": self._approve,
            "pick": self._pick,
        }

    @property
    def names(self) -> tuple[str, ...]:
        """The actions."""
        return tuple(self._asks)

    def offered(self, run: JobDocuments, outcome: str, approves: bool) -> tuple[str, ...]:
        """Those that make sense for a job that stands so, and `approves` by its spec. A finished one is
        resumed for a retry or a pick that no driver has taken up."""
        approve = ("approve",) if approves and outcome != DONE else ()
        if outcome in LIVE:
            return (*approve, "retry", "pause", "resume", "cancel")
        waits = outcome != DONE or run.store.asked_retries() or not_taken_up(run)
        again = ("resume",) if waits else ()
        return (*approve, *again, "retry", "delete")

    def ask(self, name: str, job: str, wish: Wish) -> list[str]:
        """What it would do and cost, a line each."""
        return self._asks[name](self._reader.open(job), wish)

    def do(self, name: str, job: str, wish: Wish) -> str:
        """Does it; what happens now."""
        return self._deeds[name](self._reader.open(job), wish)

    def _ask_pause(self, run: JobDocuments, _: Wish) -> list[str]:
        busy = _in_work(run)
        return [
            f"{busy} finished first, then the workers are given back." if busy else "Nothing is in work.",
            f"Left for later: {work_of(run, tasks_left(run))}.",
        ]

    def _ask_cancel(self, run: JobDocuments, _: Wish) -> list[str]:
        busy = _in_work(run)
        lost = f"{busy} lost." if busy else "Nothing is in work, so nothing is lost."
        return [lost, f"{amount(len(run.committed), 'result')} stay, and a resume goes on from there."]

    def _ask_resume(self, run: JobDocuments, _: Wish) -> list[str]:
        if run.outcome[0] in LIVE:
            return ["Takes back what was asked of its driver; nothing else is started."]
        self._drivers.require_place(run)
        left = work_of(run, tasks_left(run))
        return [f"Renders {left}, {self._drivers.place}.", "What is committed is not rendered again."]

    def _ask_retry(self, run: JobDocuments, wish: Wish) -> list[str]:
        return _retry_lines(run, retry_closure(self._reader.runs, run.job, wish.selection))

    def _ask_delete(self, run: JobDocuments, wish: Wish) -> list[str]:
        found = survey_delete(self._reader.runs, run.job, wish.films)
        lines = [f"{amount(found.files, 'file')}, {size_text(found.bytes)}, for good."]
        lines += [f"The film {path} goes, too." for path in found.films[:MOST_NAMED]]
        lines += [f"The film {path} stays." for path in found.staying[:MOST_NAMED]]
        more = len(found.films) + len(found.staying) - MOST_NAMED
        return [*lines, f"And {amount(more, 'more film')}."] if more > 0 else lines

    def _ask_approve(self, run: JobDocuments, wish: Wish) -> list[str]:
        found = approve(self._reader.runs, run.job, wish.selection, dry_run=True)
        when = "at once" if run.outcome[0] in LIVE else "with the next render"
        second = f"The second pass of {amount(len(found.free), 'chunk')} follows {when}."
        return [
            f"{amount(len(found.approved), 'chunk')} approved, {amount(len(found.left), 'chunk')} left.",
            second if found.free else "No second pass follows yet: each waits for chunks before it, too.",
        ]

    def _approve(self, run: JobDocuments, wish: Wish) -> str:
        found = approve(self._reader.runs, run.job, wish.selection)
        then = AT_ONCE if found.busy else "Resume renders their second pass"
        return f"{amount(len(found.approved), 'chunk')} approved; {then}"

    def _ask_pick(self, run: JobDocuments, wish: Wish) -> list[str]:
        take, left = find_take(run, wish.videos)
        when = "as soon as what runs is finished" if run.outcome[0] in LIVE else "from its next render on"
        lines = [f"{take.video} has {take.said}, {when}."]
        lines.append(f"Left of it: {work_of(run, left)}." if left else "It is rendered: nothing is sampled.")
        return lines

    def _pick(self, run: JobDocuments, wish: Wish) -> str:
        take, _ = find_take(run, wish.videos)
        found = pick(self._reader.runs, run.job, take.shot, take.number, take.video)
        picked = f"take {found.take} of {found.shot} is picked"
        if found.busy:
            return f"{picked}; {AT_ONCE}"
        if not self._drivers.place:
            return f"{picked}; `{run.command('resume')}` makes the film with it"
        self._drivers.start(run)
        return f"{picked}; a driver was started {self._drivers.place}"

    def _resume(self, run: JobDocuments) -> str:
        if run.outcome[0] not in LIVE:
            self._drivers.require_place(run)
        resumed = control.resume(self._reader.runs, run.job)
        if not resumed.needs_driver:
            return resumed.message
        self._drivers.start(run)
        return f"a driver was started {self._drivers.place}"

    def _retry(self, run: JobDocuments, wish: Wish) -> str:
        report = apply_retry(self._reader.runs, run.job, wish.selection)
        again = f"{amount(len(report.closure), 'task')} to be rendered again"
        if report.asked:
            return f"{again}; {AT_ONCE}"
        if not self._drivers.place:
            return f"{again}; `{run.command('resume')}` renders them"
        self._drivers.start(run)
        return f"{again}; a driver was started {self._drivers.place}"

    def _delete(self, run: JobDocuments, wish: Wish) -> str:
        done = delete_job(self._reader.runs, run.job, wish.films)
        return f"{size_text(done.bytes)} freed"


def refusal(error: FarmError) -> str:
    """Why a wish is refused, with the fields as the page has them."""
    if not isinstance(error, InputError):
        return str(error)
    return "\n".join(
        str(replace(problem, place=FIELDS.get(problem.place, problem.place))) for problem in error.problems
    )


def _in_work(run: JobDocuments) -> str:
    """`dawn/00003/sample is`, `2 tasks are`; empty where nothing is in work."""
    status = status_of(run, list(EventLog(run.store, newest_run=True)))
    busy = [each.task for each in status.busy if not each.queued]
    return f"{busy[0]} is" if len(busy) == 1 else f"{len(busy)} tasks are" if busy else ""


def _retry_lines(run: JobDocuments, report: Retry) -> list[str]:
    lines = [f"Renders again {work_of(run, (*report.closure, *report.again))}."]
    lines.append(f"{amount(report.committed, 'result')} that are there now go.")
    if report.seeds:
        lines.append(
            f"New seeds: {', '.join(f'chunk {new.chunk} {new.seed}' for new in report.seeds[:MOST_NAMED])}."
        )
    lines.append(f"Films that change: {', '.join(report.videos[:MOST_NAMED])}.")
    return lines
