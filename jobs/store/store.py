"""One job's artifacts and commits.

A result counts once its commit record exists. The artifact is written first, under a name that is never
reused; then the record is created exclusively, naming that file with its size and SHA-256. So a worker that
was thought dead and finishes late finds the record taken and changes nothing, and a torn write is never used.

Only the holder of the job's lock voids, evicts or discards; workers only read and put.
"""

from __future__ import annotations

import errno
import re
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import AccessDenied, StorageProblem, StoreUnusable
from jobs.hashing import sha256_of_bytes, sha256_of_file
from jobs.storage_problems import storage_problem
from jobs.store.artifacts import Artifacts
from jobs.store.backend import LOCK, Backend
from jobs.store.chosen import Chosen
from jobs.store.commits import SUSPECTS_FORM, Commit, Suspects, decode_commit, encode_commit
from jobs.store.documents import ARTIFACTS, COMMITS, EVICTED
from jobs.store.lock import JobLock, LockTiming
from jobs.store.opening import JOB_ID, open_backend, probe, unknown_job

if TYPE_CHECKING:
    from jobs.scratch import Scratch

ARTIFACT_NAME = re.compile(r"[0-9a-f]{64}\.\d+-[0-9a-f]+\.[a-z0-9.]+\Z")
SUFFIX = re.compile(r"[a-z0-9][a-z0-9.]{0,31}\Z")
PUT_TRIES = 5
LEFTOVER_S = 3600.0
"""A temporary file lives for seconds. One as old as this belongs to nobody that still writes."""


@dataclass(frozen=True, slots=True)
class Checked:
    """What the store holds for a job: results that can be used, damage that was found on the way, and
    artifacts that no good commit names (losers, crashes)."""

    commits: dict[str, Commit]
    damage: tuple[tuple[str, str], ...]
    unused: tuple[str, ...]


class Store(Chosen):
    """The run directory `<runs>/<job-id>/` of one job, on any supported medium."""

    def __init__(self, backend: Backend, runs_url: str, job_id: str) -> None:
        super().__init__(backend)
        self.runs_url, self.job_id = runs_url, job_id
        self._artifacts = Artifacts(backend)

    @classmethod
    def open(cls, runs_url: str, job_id: str) -> Store:
        """Open for rendering; creates what is missing. Raises StoreUnusable, UsageError (a bad job id)."""
        backend = open_backend(runs_url, job_id)
        probe(backend)
        return cls(backend, runs_url, job_id)

    @classmethod
    def at(cls, runs_url: str, job_id: str) -> Store:
        """The store of a job that need not exist, for reading; writes nothing."""
        return cls(open_backend(runs_url, job_id), runs_url, job_id)

    @classmethod
    def join(cls, runs_url: str, job_id: str) -> Store:
        """Open for a worker; creates nothing where no driver has locked the job, as on storage that is not
        the driver's. Raises StorageProblem, StoreUnusable."""
        backend = open_backend(runs_url, job_id)
        if not backend.entries(LOCK):
            raise storage_problem(FileNotFoundError(errno.ENOENT, ""), backend.url, 0, None)
        return cls.open(runs_url, job_id)

    @classmethod
    def find(cls, runs_url: str, job_id: str) -> Store:
        """Open a run that exists, writing nothing; raises UsageError with the nearest names."""
        backend = open_backend(runs_url, job_id)
        store = cls(backend, runs_url, job_id)
        if not store.exists():
            raise unknown_job(backend, job_id, [other.job_id for other in cls.every(runs_url)])
        return store

    @classmethod
    def every(cls, runs_url: str) -> list[Store]:
        """Every run under `runs_url`, by name; folders that are no jobs are left out, and those of other
        users that this one may not look into."""
        names = sorted(filter(JOB_ID.match, open_backend(runs_url, "listing").folders()))
        return [store for name in names if _found(store := cls.at(runs_url, name))]

    @property
    def url(self) -> str:
        """Where the job's directory is, for messages."""
        return self.backend.url

    def require_shared(self) -> None:
        """Raise StoreUnusable where only this process sees the store, so no worker process could."""
        if self.backend.single_process:
            raise StoreUnusable(
                f"{self.url} lives in the memory of one process, and the workers are others. "
                "Render with --serial, or keep the runs in a directory or an object store."
            )

    def lock(self, timing: LockTiming | None = None, tell: Callable[[str], None] | None = None) -> JobLock:
        """The job's lock, to be held with `with`; `tell` hears of takeovers. Raises JobBusy on entry."""
        return JobLock(self.backend, timing, tell)

    def commit(self, digest: str) -> Commit | None:
        """The commit of `digest`, from its record alone; None where there is none or it is torn."""
        with suppress(FileNotFoundError):
            return decode_commit(self.backend.read(record_key(digest)), digest)
        return None

    def commits(self) -> dict[str, Commit]:
        """Every commit whose artifact is there and unaltered, by digest."""
        return self.check().commits

    def committed_digests(self) -> frozenset[str]:
        """Digests with a commit record, by one listing; nothing is verified."""
        return self._digests_in(COMMITS)

    def evicted_digests(self) -> frozenset[str]:
        """Digests whose artifact was evicted and not made again, by one listing."""
        return self._digests_in(EVICTED) - self.committed_digests()

    def size_bytes(self) -> int:
        """Bytes of all artifacts, by one listing."""
        return sum(entry.size for entry in self.backend.entries(ARTIFACTS).values())

    def check(self, everything: bool = False) -> Checked:
        """List the store once and sort good commits from damage.

        An artifact is hashed where its stamp differs from the one in the commit (it was touched after it was
        committed), where it is suspected, or always with `everything`. Damage is `(digest, what is wrong)`;
        discard it with `void`.
        """
        suspects = self.suspects()
        files = self.backend.entries(ARTIFACTS)
        digests = self._digests_in(COMMITS)
        records = self.backend.read_many(record_key(digest) for digest in digests)
        good: dict[str, Commit] = {}
        damage: list[tuple[str, str]] = []
        for digest in sorted(digests):
            data = records.get(record_key(digest))
            commit = decode_commit(data, digest) if data is not None else None
            doubted = everything or digest in suspects
            fault = (
                "the commit record is torn"
                if commit is None
                else self._artifacts.fault(commit, files, doubted)
            )
            if commit is None or fault:
                damage.append((digest, fault))
            else:
                good[digest] = commit
        named = {commit.file for commit in good.values()}
        ours = (f"{ARTIFACTS}/{name}" for name in files if ARTIFACT_NAME.match(name))
        unused = (file for file in ours if file not in named)
        return Checked(good, tuple(damage), tuple(unused))

    def suspects(self) -> frozenset[str]:
        """The digests that the next `check` reads whole."""
        found = self.recall(SUSPECTS_FORM)
        return frozenset(found.digests if found else ())

    def suspect(self, digests: Iterable[str]) -> None:
        """Have the next `check` read these results whole, too; it deletes nothing. Raises StorageProblem."""
        every = tuple(sorted(self.suspects().union(digests)))
        if every:
            self.save(SUSPECTS_FORM, Suspects(every))

    def put(
        self,
        digest: str,
        attempt: int,
        suffix: str,
        data: bytes | memoryview | Path,
        provenance: Mapping[str, Any],
    ) -> Commit:
        """Commit a result; returns the winner's commit, which may be an earlier attempt's.

        `data` is the artifact's bytes or a finished local file, `suffix` such as `safetensors`. Raises
        StorageProblem (disk full, permission, lost mount); nothing is committed then.
        """
        if not SUFFIX.match(suffix):
            raise ValueError(f"not an artifact suffix: {suffix!r}")
        file = f"{ARTIFACTS}/{digest}.{attempt}-{secrets.token_hex(6)}.{suffix}"
        sha256, size = _measured(data)
        stamp = self.backend.write(file, data).stamp
        mine = Commit(digest, file, size, sha256, provenance, stamp)
        try:
            winner = self._settle(mine)
        except StorageProblem:
            self.backend.delete(file)
            raise
        if winner.file == file:
            self._artifacts.trust(file, stamp)
        else:
            self.backend.delete(file)
        return winner

    def read(self, commit: Commit) -> bytes:
        """The artifact's bytes, verified; raises CorruptArtifact where they are missing or altered."""
        return self._artifacts.read(commit)

    def local(self, commit: Commit, copies: Scratch) -> Path:
        """A verified local file of the artifact, in `copies` where the store is remote. Do not write to it.

        Raises CorruptArtifact, StorageProblem.
        """
        return self._artifacts.local(commit, copies)

    def void(self, digests: Iterable[str]) -> int:
        """Forget results, record first: a crash in between leaves an unused file. Returns how many."""
        voided = 0
        for digest in digests:
            commit = self.commit(digest) or self._evicted(digest)
            gone = [self.backend.delete(key) for key in (record_key(digest), evicted_key(digest))]
            if commit is not None:
                self.backend.delete(commit.file)
            voided += any(gone)
        return voided

    def evict(self, commit: Commit) -> None:
        """Delete the artifact, keep its history: `commit()` answers None, `evicted()` has the provenance."""
        stored = self.commit(commit.digest) or commit
        self.backend.replace(evicted_key(commit.digest), encode_commit(stored))
        self.backend.delete(record_key(commit.digest))
        self.backend.delete(commit.file)

    def evicted(self) -> dict[str, Commit]:
        """Results that were committed once and whose artifact was evicted, by digest."""
        digests = self._digests_in(EVICTED)
        records = self.backend.read_many(evicted_key(digest) for digest in digests)
        decoded = ((digest, records.get(evicted_key(digest))) for digest in sorted(digests))
        commits = {digest: decode_commit(data, digest) for digest, data in decoded if data is not None}
        return {digest: commit for digest, commit in commits.items() if commit is not None}

    def sweep(self, checked: Checked) -> int:
        """Delete what `check` found unused, and what commits that were killed left behind; under the lock,
        once the damage is void, before anything is handed out. Returns how many.

        A worker of an earlier driver that commits such a file all the same has a record without an artifact,
        which the next attempt's replaces.
        """
        self.backend.delete(SUSPECTS_FORM.name)
        stale = self.backend.leftovers(LEFTOVER_S)
        return sum(self.backend.delete(file) for file in (*checked.unused, *stale))

    def _digests_in(self, folder: str) -> frozenset[str]:
        return frozenset(name.removesuffix(".json") for name in self.backend.entries(folder))

    def _settle(self, mine: Commit) -> Commit:
        """Create the record, or find who did; a record that does not verify is replaced."""
        key, record = record_key(mine.digest), encode_commit(mine)
        for _ in range(PUT_TRIES):
            if self.backend.create(key, record):
                return mine
            winner = self.commit(mine.digest)
            if winner is not None and self._artifacts.present(winner):
                return winner
            self.backend.delete(key)
        raise StorageProblem(
            f"{self.url}/{key}: the commit record cannot be created or read. Check the store."
        )

    def _evicted(self, digest: str) -> Commit | None:
        with suppress(FileNotFoundError):
            return decode_commit(self.backend.read(evicted_key(digest)), digest)
        return None


def record_key(digest: str) -> str:
    """The commit record's key."""
    return f"{COMMITS}/{digest}.json"


def evicted_key(digest: str) -> str:
    """The key of a record whose artifact was evicted."""
    return f"{EVICTED}/{digest}.json"


def _measured(data: bytes | memoryview | Path) -> tuple[str, int]:
    """SHA-256 and size in bytes of a value or a file."""
    if isinstance(data, Path):
        return sha256_of_file(data), data.stat().st_size
    return sha256_of_bytes(data), len(data)


def _found(store: Store) -> bool:
    """Whether there is such a job, as far as this user may look."""
    with suppress(AccessDenied):
        return store.exists()
    return False
