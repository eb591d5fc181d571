"""A worker's way into its job's store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.errors import StorageProblem, StoreUnusable
from jobs.store.store import Store

if TYPE_CHECKING:
    from actors.worker.order import WorkerConfig


def opened(config: WorkerConfig) -> Store:
    """The job's store. The driver could write there: where this worker cannot, the disk has filled up
    meanwhile or access was lost, and the job waits until that is mended. Raises StorageProblem for that,
    else what `Store.join` raises."""
    try:
        return Store.join(config.runs_url, config.job_id)
    except StoreUnusable as error:
        if isinstance(error.__cause__, StorageProblem):
            raise error.__cause__ from None
        raise
