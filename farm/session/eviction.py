"""Artifacts that nobody needs any more leave the store beside the rendering.

Giving one up takes half a dozen requests, on an object store a quarter of a second: the loop that hands out
tasks has no time for it. What is dropped before it was evicted still has its commit record, so the next
driver of the job finds it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from actors.interrupts import result_of

if TYPE_CHECKING:
    from jobs.store.commits import Commit
    from jobs.store.store import Store

AT_ONCE = 4
"""Deletions at the same time: enough to keep up with a farm that commits a dozen chunks a second."""


class Evictions:
    """Gives artifacts up in threads of its own, each record first. `require_lock` raises where the job is
    somebody else's by now: then nothing more is touched."""

    def __init__(self, store: Store, require_lock: Callable[[], None]) -> None:
        self._store, self._require_lock = store, require_lock
        self._threads = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="eviction")
        self._running: deque[Future[None]] = deque()

    def add(self, commit: Commit) -> None:
        """Hand an artifact over."""
        self._running.append(self._threads.submit(self._evict, commit))

    def check(self) -> None:
        """Raise what giving up the first of them met, StorageProblem or JobBusy; the others are dropped."""
        while self._running and self._running[0].done():
            self._settle_first()

    def wait(self) -> None:
        """Return when all are evicted. Raises as `check` does."""
        while self._running:
            self._settle_first()

    def close(self) -> None:
        """End the threads: what waits is dropped, what runs is finished."""
        self._threads.shutdown(wait=True, cancel_futures=True)

    def _settle_first(self) -> None:
        try:
            result_of(self._running.popleft())
        except BaseException:
            for waiting in self._running:
                waiting.cancel()
            self._running.clear()
            raise

    def _evict(self, commit: Commit) -> None:
        self._require_lock()
        self._store.evict(commit)
