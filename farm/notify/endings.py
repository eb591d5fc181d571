"""A job's end, sent at least once: its record is on the disk before the end counts, and says who heard of it.

A driver that dies in between leaves the record; whoever takes the job up, or `farm notify`, sends it then,
under the same id.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from farm.notify.addresses import addresses_of
from farm.notify.sending import Message, send
from farm.state.job_state import DONE, FAILED, PARTIAL, UNAPPROVED
from jobs.commands import job_command
from jobs.errors import CannotRun, UsageError
from jobs.records import Form
from jobs.store.documents import NOTIFY
from jobs.wording import amount

if TYPE_CHECKING:
    from farm.state.job_state import JobState
    from jobs.store.store import Store

NOTIFIED_OF = (DONE, PARTIAL, FAILED, UNAPPROVED)
MOST_FILMS = 20


@dataclass(frozen=True, slots=True)
class Ending:
    """One end of a job under `label`; `reached` are marks of addresses that took it, `complete` says that all
    have. `event` is its id, the same in every repetition."""

    label: str
    event: str
    outcome: str
    reached: tuple[str, ...] = ()
    complete: bool = False


ENDING_FORM = Form(NOTIFY, Ending)


def prepare(store: Store, label: str | None, outcome: str, worked: bool) -> None:
    """Before the end is written: notes that it has to be sent. An end that changed nothing since the last one
    is that one again. Raises StorageProblem."""
    if label is None or outcome not in NOTIFIED_OF:
        return
    known = store.recall(ENDING_FORM)
    if (
        known is not None
        and (known.label, known.outcome) == (label, outcome)
        and not (known.complete and worked)
    ):
        return
    store.save(ENDING_FORM, Ending(label, str(uuid.uuid4()), outcome))


def tell(store: Store, state: JobState) -> str:
    """After it: sends what is not sent yet, if the job ended so; what went wrong, in words, empty where
    nothing did. Raises StorageProblem."""
    if state.outcome not in NOTIFIED_OF:
        return ""
    ending = store.recall(ENDING_FORM)
    if ending is None or ending.complete or ending.outcome != state.outcome:
        return ""
    again = f"`{job_command('notify', store.job_id, store.runs_url)}` tries again"
    try:
        sent = send(message(store, state, ending), addresses_of(ending.label), ending.reached)
    except (UsageError, CannotRun) as error:
        return f"{ending.label} was not notified: {error}; {again}"
    store.save(ENDING_FORM, replace(ending, reached=sent.reached, complete=not sent.missed))
    return f"{ending.label} was not notified at {', '.join(sent.missed)}; {again}" if sent.missed else ""


def message(store: Store, state: JobState, ending: Ending) -> Message:
    """What the receiver reads; the last line is the event's id."""
    films = [film.path for film in state.videos[:MOST_FILMS]]
    if len(state.videos) > MOST_FILMS:
        films.append(f"and {amount(len(state.videos) - MOST_FILMS, 'more film')}")
    lines = [state.reason, *films, f"run directory {store.url}", f"event {ending.event}"]
    done = f"{len(state.videos)} of {amount(state.films, 'film')}"
    body = "\n".join(filter(None, lines))
    return Message(f"{state.job}: {state.outcome}, {done}", body, state.outcome == DONE)
