"""The artifact store: truth about what is rendered, in `<runs>/<job-id>/`."""

from jobs.store.commits import Commit
from jobs.store.documents import DIGESTS, PLAN, SEEDS, SPEC, STATE, Request
from jobs.store.lock import JobLock, LockTiming
from jobs.store.store import Checked, Store

__all__ = [
    "DIGESTS",
    "PLAN",
    "SEEDS",
    "SPEC",
    "STATE",
    "Checked",
    "Commit",
    "JobLock",
    "LockTiming",
    "Request",
    "Store",
]
