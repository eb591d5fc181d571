"""Who renders a job now.

The lock is a row of numbered files, `lock/<generation>.json`; the highest one says who holds it. To take the
lock over is to create the next number exclusively, so of two that try, one wins, on every medium that can
commit. The holder renews its file; once it sees a higher number it has been replaced and must stop.
"""

from __future__ import annotations

import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from jobs.commands import command_at
from jobs.errors import JobBusy, StorageProblem
from jobs.storage_problems import user_name
from jobs.store.backend import LOCK, Backend
from jobs.store.lock_file import Beat, Holder, encode_holder, generation_of, last_beat, lock_key, read_holder
from jobs.store.process import alive, this_process

BEAT_S = 5.0
STALE_S = 60.0
_RELEASED: set[str] = set()
"""Tokens of locks whose release could not be written."""


@dataclass(frozen=True, slots=True)
class LockTiming:
    """`beat_s` between renewals; a lock not renewed for `stale_s` seconds is dead."""

    beat_s: float = BEAT_S
    stale_s: float = STALE_S


class JobLock:
    """Held inside `with`; renews itself from a thread.

    Raises JobBusy on entry where another process renders the job, and from `check` once another took it over.
    """

    def __init__(
        self, backend: Backend, timing: LockTiming | None = None, tell: Callable[[str], None] | None = None
    ) -> None:
        self.backend, self.timing = backend, timing or LockTiming()
        self._tell = tell or (lambda _: None)
        self._holder: Holder | None = None
        self._usurper: Holder | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._beaten_s = 0.0

    def __enter__(self) -> JobLock:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    @property
    def held(self) -> bool:
        return self._holder is not None and self._usurper is None

    def acquire(self) -> None:
        """Take the lock, from a dead holder if need be; raises JobBusy, StorageProblem."""
        for message in self.taking():
            self._tell(message)

    def taking(self) -> Iterator[str]:
        """`acquire` that gives its messages while it waits; the lock is held when it ends."""
        generation = 1
        found = read_holder(self.backend)
        if found is not None:
            generation = found.generation + 1
            if not found.released and found.token not in _RELEASED:
                yield from self._require_dead(found)
        mine = self._claim(generation)
        created = self._create(mine)
        newest = read_holder(self.backend)
        if not created or newest is None or newest.token != mine.token:
            # A contender that slept through several owners may re-create a number that was cleaned away.
            if created:
                self.backend.delete(lock_key(generation))
            raise busy(self.backend, newest or mine, "it took the job a moment ago")
        self._holder, self._usurper, self._beaten_s = mine, None, time.monotonic()
        self._clean(generation)
        self.backend.keep_reserve()
        self._start()

    def _claim(self, generation: int) -> Holder:
        token, host, at_s = secrets.token_hex(8), socket.gethostname(), time.time()
        place, user = self.backend.place(), user_name()
        return Holder(generation, token, host, this_process(), at_s, place=place, user=user)

    def _create(self, mine: Holder) -> bool:
        try:
            return self.backend.create(lock_key(mine.generation), encode_holder(mine))
        except StorageProblem:
            # It may stand there all the same, and must not keep this process from its next try.
            _RELEASED.add(mine.token)
            raise

    def release(self) -> None:
        """Release the lock; the file stays and says so. Nothing happens where the lock was lost or not held.

        Never raises: where the medium refuses, this process remembers, and others see that it has ended.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        holder, self._holder = self._holder, None
        if holder is not None and self._usurper is None:
            try:
                self.backend.replace(
                    lock_key(holder.generation), encode_holder(replace(holder, released=True))
                )
            except StorageProblem:
                _RELEASED.add(holder.token)

    def remove(self) -> None:
        """Release the lock and delete its file, with the whole job. Raises JobBusy, StorageProblem."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()
        self._holder = None
        for name in self.backend.entries(LOCK):
            self.backend.delete(f"{LOCK}/{name}")

    def check(self) -> None:
        """Raise JobBusy where another process took the job over while this one was away.

        Cheap enough for every turn of a render loop: it looks only where the thread missed its beats, as
        after a process was stopped and continued.
        """
        if self._usurper is None and time.monotonic() - self._beaten_s > 2 * self.timing.beat_s:
            self.beat()
        if self._usurper is not None:
            raise busy(self.backend, self._usurper, "it took the job over while this process did not respond")

    def confirm(self) -> None:
        """`check` that looks now, whenever the last beat was. Raises StorageProblem where nobody can look."""
        self.beat()
        self.check()

    def beat(self) -> None:
        """Renew the lock and look for a successor; the thread does it, anyone may."""
        holder = self._holder
        if holder is None:
            return
        newest = read_holder(self.backend)
        if newest is not None and newest.generation > holder.generation:
            self._usurper = newest
            return
        self.backend.touch(lock_key(holder.generation), encode_holder(holder, time.time()))
        self._beaten_s = time.monotonic()

    def _start(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="job-lock", daemon=True)
        self._thread.start()

    def _keep(self) -> None:
        while not self._stop.wait(self.timing.beat_s) and self._usurper is None:
            try:
                self.beat()
            except StorageProblem:
                # A full disk or an outage must not end the job here: the next write reports it with its path.
                continue

    def _require_dead(self, found: Holder) -> Iterator[str]:
        verdict = alive(found.process)
        if verdict is True and self.backend.place().is_other(found.place):
            yield f"This is a copy of {found.place.path}, which {found.who()} renders: it goes on by itself."
            return
        if verdict is True:
            raise busy(self.backend, found, "that process is running")
        if verdict is False:
            yield f"Took the job over from {found.who()}, which has ended."
            return
        first = last_beat(self.backend, found.generation)
        watch_s = self._watch_s(first)
        yield f"{found.who()} held this job last; watching its lock for up to {watch_s:.0f} s."
        if not self._silent(found, first, watch_s):
            raise busy(self.backend, found, "it renews its lock")
        yield (f"Took the job over from {found.who()}: no sign of life for {self.timing.stale_s:.0f} s.")

    def _watch_s(self, beat: Beat) -> float:
        """How long the lock of another machine is watched after that beat.

        The other machine's clock only shortens the watch, and never below two beats.
        """
        age_s = max(0.0, time.time() - beat.at_s)
        return max(2 * self.timing.beat_s, self.timing.stale_s - age_s)

    def _silent(self, found: Holder, first: Beat, watch_s: float) -> bool:
        """Watch a lock until it is renewed (False) or counts as dead (True)."""
        until = time.monotonic() + watch_s
        while time.monotonic() < until:
            time.sleep(self.timing.beat_s / 4)
            if last_beat(self.backend, found.generation) != first:
                return False
        return True

    def _clean(self, generation: int) -> None:
        for name in self.backend.entries(LOCK):
            number = generation_of(name)
            if number is not None and number < generation:
                self.backend.delete(f"{LOCK}/{name}")


class Driver(StrEnum):
    """Whether somebody renders a job: as far as one look can tell."""

    NONE = "none"
    RUNNING = "running"
    ENDED = "ended"
    SILENT = "silent"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True)
class Presence:
    """Who renders a job. `ended` died without letting go, `silent` (on another machine) did so probably;
    `elsewhere`: the run directory is a copy of the one at `place`, made while that was being rendered."""

    driver: Driver
    who: str = ""
    since_s: float | None = None
    place: str = ""


def presence(backend: Backend, timing: LockTiming | None = None) -> Presence:
    """Look at the lock without taking it."""
    holder = read_holder(backend)
    if holder is None or holder.released:
        return Presence(Driver.NONE)
    verdict, copied = alive(holder.process), backend.place().is_other(holder.place)
    if verdict is None:
        age_s = time.time() - last_beat(backend, holder.generation).at_s
        fresh = age_s < (timing or LockTiming()).stale_s and not copied
        driver = Driver.RUNNING if fresh else Driver.SILENT
    elif verdict:
        driver = Driver.ELSEWHERE if copied else Driver.RUNNING
    else:
        driver = Driver.ENDED
    return Presence(driver, holder.who(), holder.since_s or None, holder.place.path)


def busy(backend: Backend, holder: Holder, because: str) -> JobBusy:
    """The error that names who renders the job."""
    stop = command_at("cancel", backend.url)
    return JobBusy(
        f"The job is being rendered by {holder.who()}: {because}. Wait for it, or stop it with `{stop}`."
    )
