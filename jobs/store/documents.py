"""The small files of a run directory: sealed JSON documents, the spec, the event log, requests."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from jobs.errors import DamagedDocument, Problem, StorageProblem
from jobs.records import Form, Unreadable, newer_than, seal, unseal

if TYPE_CHECKING:
    from jobs.store.backend import Backend

SPEC, PLAN, STATE, DIGESTS = "spec.yaml", "plan.json", "state.json", "digests.json"
ARTIFACTS, COMMITS, EVICTED, EVENTS, REQUESTS = "artifacts", "commits", "evicted", "events", "requests"
REFUSED = "refused.json"
LOCKED = "locked.json"
NOTIFY = "notify.json"
FLUSH_S = 2.0
FLUSH_LINES = 256
MAX_WAITING = 10_000

T = TypeVar("T")


class UserRequest(StrEnum):
    """What a user asks of a job; it stands as a file until a driver has acted on it, or the user takes it
    back."""

    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class RequestNote:
    """Who reads the file knows what was asked from its name; `at_s` is epoch seconds."""

    request: UserRequest
    why: str = ""
    at_s: float = 0.0


@dataclass(frozen=True, slots=True)
class EventLine:
    """One line of the log as it stands, and where: the file of the run directory and the line from 1."""

    file: str
    number: int
    data: bytes

    @property
    def run(self) -> str:
        """The driver run that wrote it."""
        return _run_of(self.file)


REQUEST_FORM = Form("request", RequestNote)


class Documents:
    """Reading and writing the small files of one job."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._log: EventLogWriter | None = None

    def exists(self) -> bool:
        """Whether a job was ever rendered here, or refused."""
        known = any(self.backend.stat(name) is not None for name in (PLAN, STATE, SPEC, DIGESTS, REFUSED))
        return known or bool(self.backend.entries(COMMITS))

    def save(self, form: Form[T], value: T, name: str = "") -> None:
        """Replace the document `form.name`, or `name`, atomically."""
        self.backend.replace(name or form.name, form.encode(value))

    def load(self, form: Form[T], remedy: str, name: str = "") -> T | None:
        """The document; None where there is none. Raises DamagedDocument, which ends with `remedy`, and
        NewerFormat."""
        try:
            data = self._read(name or form.name)
            return None if data is None else form.decode(data)
        except Unreadable as fault:
            place, rule = f"{self.backend.url}/{name or form.name}", "a whole document that the farm wrote"
            raise DamagedDocument([Problem(place, str(fault), rule, remedy)]) from None

    def recall(self, form: Form[T], name: str = "") -> T | None:
        """A document that can be made anew; None also where it is damaged. Raises NewerFormat."""
        try:
            return self.load(form, "", name)
        except DamagedDocument:
            return None

    def require_ours(self, *forms: Form[Any]) -> None:
        """Raises NewerFormat where one of these documents is of a later format than this version writes: call
        it before anything is written over."""
        for form in forms:
            newer = newer_than(form, self.read_json(form.name) or {})
            if newer is not None:
                raise newer

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a document atomically by a JSON object; it carries a checksum under the key `check`."""
        self.backend.replace(name, seal(value))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The document's JSON object, whatever its form; None where it is missing, torn or altered."""
        data = self._read(name)
        try:
            return None if data is None else unseal(data)
        except Unreadable:
            return None

    def write_text(self, name: str, text: str) -> None:
        """Replace a text file atomically."""
        self.backend.replace(name, text.encode())

    def read_text(self, name: str) -> str | None:
        """The text, or None where it is missing or not UTF-8."""
        data = self._read(name)
        try:
            return None if data is None else data.decode()
        except UnicodeDecodeError:
            return None

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one event to this run's log; object stores get it within two seconds or at `flush_events`.

        Never raises: what a full disk or an outage refuses is kept in memory and written with a later event.
        """
        if self._log is None:
            self._log = EventLogWriter(self.backend)
        self._log.append(event)

    def flush_events(self) -> None:
        """Write buffered events out (nothing to do on a mounted file system)."""
        if self._log is not None:
            self._log.flush()

    def event_lines(self, newest_run: bool = False) -> Iterator[EventLine]:
        """Every line of the log of every driver run (or of the newest), oldest first, blank ones left out."""
        self.flush_events()
        names = sorted(self.backend.entries(EVENTS))
        for name in names:
            if newest_run and _run_of(name) != _run_of(names[-1]):
                continue
            lines = (self._read(f"{EVENTS}/{name}") or b"").split(b"\n")
            yield from (EventLine(f"{EVENTS}/{name}", at, line) for at, line in enumerate(lines, 1) if line)

    def has(self, name: str) -> bool:
        """Whether the file is there, whole or torn."""
        return self.backend.stat(name) is not None

    def request(self, kind: UserRequest, why: str = "") -> None:
        """Ask the job to pause or to cancel; it stands until cleared."""
        self.save(REQUEST_FORM, RequestNote(kind, why, time.time()), f"{REQUESTS}/{kind.value}.json")

    def requests(self) -> frozenset[UserRequest]:
        """What is asked of the job now; one listing, meant for polling."""
        names = self.backend.entries(REQUESTS)
        return frozenset(kind for kind in UserRequest if f"{kind.value}.json" in names)

    def clear_request(self, kind: UserRequest) -> bool:
        """Take a request back; False where it did not stand."""
        return self.backend.delete(f"{REQUESTS}/{kind.value}.json")

    def _read(self, name: str) -> bytes | None:
        try:
            return self.backend.read(name)
        except FileNotFoundError:
            return None


class EventLogWriter:
    """One driver run's events as JSON lines: one growing file where the medium appends, else parts.

    The log explains a run, it is not needed to continue one: a medium that refuses it must not end the job.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.run = f"{time.time_ns():020d}-{secrets.token_hex(3)}"
        self._part = 0
        self._lines: list[bytes] = []
        self._flushed_s = time.monotonic()

    def append(self, event: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
        due = time.monotonic() - self._flushed_s >= FLUSH_S or len(self._lines) >= FLUSH_LINES
        if self.backend.appends or due:
            self.flush()

    def flush(self) -> None:
        if not self._lines:
            return
        data = b"".join(self._lines)
        part = "" if self.backend.appends else f"-{self._part:06d}"
        write = self.backend.append if self.backend.appends else self.backend.replace
        self._flushed_s = time.monotonic()
        try:
            write(f"{EVENTS}/{self.run}{part}.jsonl", data)
        except StorageProblem:
            # Half a line may stand at the end of the file now: the line break makes it a line of its own.
            self._lines = [b"\n", *self._lines[-MAX_WAITING:]]
            return
        self._lines.clear()
        self._part += 1


def _run_of(name: str) -> str:
    """The driver run that wrote an event file; parts of one run share it."""
    return "-".join(name.rpartition("/")[2].removesuffix(".jsonl").split("-")[:2])
