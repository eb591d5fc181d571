"""The small files of a run directory: sealed JSON documents, the spec, the event log, requests."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from jobs.errors import StorageProblem
from jobs.store.backend import Backend
from jobs.store.commits import seal, unseal

SPEC, PLAN, STATE, DIGESTS, SEEDS = "spec.yaml", "plan.json", "state.json", "digests.json", "seeds.json"
ARTIFACTS, COMMITS, EVICTED, EVENTS, REQUESTS = "artifacts", "commits", "evicted", "events", "requests"
SEEDS_COPY = "seeds.copy.json"
FLUSH_S = 2.0
FLUSH_LINES = 256
MAX_WAITING = 10_000


class Request(StrEnum):
    """What a user asks of a job; it stands as a file until a driver has acted on it, or the user takes it
    back."""

    PAUSE = "pause"
    CANCEL = "cancel"


class Documents:
    """Reading and writing the small files of one job."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._log: EventLog | None = None

    def exists(self) -> bool:
        """Whether a job was ever rendered here."""
        known = any(self.backend.stat(name) is not None for name in (PLAN, STATE, SPEC, DIGESTS))
        return known or bool(self.backend.entries(COMMITS))

    def write_json(self, name: str, value: Mapping[str, Any]) -> None:
        """Replace a document atomically; it carries a checksum under the key `check`."""
        self.backend.replace(name, seal(value))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The document, or None where it is missing, torn or altered."""
        data = self._read(name)
        return None if data is None else unseal(data)

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

    def seed_overrides(self) -> dict[tuple[str, int], int]:
        """Sample seeds that `farm retry --reseed` drew, by video and the chunk's decode seed; the plan takes
        them in.

        They can be made from nothing else, so they stand twice. Raises StorageProblem where both are torn.
        """
        copies = [self.read_json(name) for name in (SEEDS, SEEDS_COPY)]
        document = copies[0] or copies[1]
        if document is None and (self.has(SEEDS) or self.has(SEEDS_COPY)):
            raise StorageProblem(
                f"{self.backend.url}/{SEEDS} and its copy are damaged: delete both to go back to the spec's "
                "seeds, then choose new ones with `farm retry --reseed`."
            )
        return {(video, decode_seed): seed for video, decode_seed, seed in (document or {}).get("seeds", [])}

    def override_seeds(self, seeds: Mapping[tuple[str, int], int]) -> None:
        """Add overrides to those that stand."""
        merged = sorted({**self.seed_overrides(), **seeds}.items())
        for name in (SEEDS, SEEDS_COPY):
            self.write_json(name, {"seeds": [[*chunk, seed] for chunk, seed in merged]})

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one event to this run's log; object stores get it within two seconds or at `flush_events`.

        Never raises: what a full disk or an outage refuses is kept in memory and written with a later event.
        """
        if self._log is None:
            self._log = EventLog(self.backend)
        self._log.append(event)

    def flush_events(self) -> None:
        """Write buffered events out (nothing to do on a mounted file system)."""
        if self._log is not None:
            self._log.flush()

    def events(self, newest_run: bool = False) -> Iterator[dict[str, Any]]:
        """Every event of every driver run (or of the newest), oldest first; torn lines are skipped."""
        self.flush_events()
        names = sorted(self.backend.entries(EVENTS))
        for name in names:
            if newest_run and _run_of(name) != _run_of(names[-1]):
                continue
            for line in self._event_lines(name):
                event = _parse(line)
                if event is not None:
                    yield event

    def torn_events(self) -> dict[str, int]:
        """How many lines do not parse, by file; files without any are left out."""
        names = self.backend.entries(EVENTS)
        torn = {name: sum(_parse(line) is None for line in self._event_lines(name)) for name in names}
        return {f"{EVENTS}/{name}": count for name, count in torn.items() if count}

    def has(self, name: str) -> bool:
        """Whether the file is there, whole or torn."""
        return self.backend.stat(name) is not None

    def request(self, kind: Request, why: str = "") -> None:
        """Ask the job to pause or to cancel; it stands until cleared."""
        self.write_json(
            f"{REQUESTS}/{kind.value}.json", {"request": kind.value, "why": why, "at_s": time.time()}
        )

    def requests(self) -> frozenset[Request]:
        """What is asked of the job now; one listing, meant for polling."""
        names = self.backend.entries(REQUESTS)
        return frozenset(kind for kind in Request if f"{kind.value}.json" in names)

    def clear_request(self, kind: Request) -> bool:
        """Take a request back; False where it did not stand."""
        return self.backend.delete(f"{REQUESTS}/{kind.value}.json")

    def _event_lines(self, name: str) -> list[bytes]:
        return [line for line in (self._read(f"{EVENTS}/{name}") or b"").split(b"\n") if line]

    def _read(self, name: str) -> bytes | None:
        try:
            return self.backend.read(name)
        except FileNotFoundError:
            return None


class EventLog:
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
    return "-".join(name.removesuffix(".jsonl").split("-")[:2])


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
