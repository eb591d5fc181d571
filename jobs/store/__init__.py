"""The artifact store: truth about what is rendered, in `<runs>/<job-id>/`."""

from jobs.store.commits import Commit
from jobs.store.documents import DIGESTS, PLAN, SEEDS, SPEC, STATE, Request
from jobs.store.lock import Driver, JobLock, LockTiming, Presence, presence
from jobs.store.remote import refusals_of
from jobs.store.store import Checked, Store

__all__ = [
    "DIGESTS",
    "PLAN",
    "SEEDS",
    "SPEC",
    "STATE",
    "Checked",
    "Commit",
    "Driver",
    "JobLock",
    "LockTiming",
    "Presence",
    "Request",
    "Store",
    "presence",
    "refusals_of",
]
