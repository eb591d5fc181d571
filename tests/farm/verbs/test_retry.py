"""`farm retry`: the closure first, then the voids, under the lock."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.session.retrying import ask
from farm.state.job_state import DONE, INTERRUPTED, PARTIAL, RUNNING, FailedTask
from farm.verbs import retry
from farm.verbs.retry import apply_retry, retry_closure
from farm.verbs.status import job_status
from jobs.errors import DamagedDocument, FarmError, UsageError
from jobs.tasks.retry import RetryState, Selection

if TYPE_CHECKING:
    from jobs.store.store import Store
    from tests.farm.verbs.conftest import MadeRun

LAST_OF_DAWN = Selection(frozenset({"dawn"}), frozenset({2}))


def test_a_dry_run_changes_nothing(made: MadeRun) -> None:
    before = made.store.committed_digests()
    report = retry_closure(made.runs, "harbor", LAST_OF_DAWN)
    assert report.closure == ("dawn/00002/sample", "dawn/00002/decode", "dawn/00002/segment")
    assert report.again == ("dawn/00001/decode",)
    assert (report.committed, report.videos) == (3, ("dawn",))
    assert made.store.committed_digests() == before


def test_the_closure_is_voided_and_nothing_else(made: MadeRun) -> None:
    before = made.store.committed_digests() | made.store.evicted_digests()
    report = retry_closure(made.runs, "harbor", LAST_OF_DAWN)
    assert apply_retry(made.runs, "harbor", LAST_OF_DAWN).voided == 3
    after = made.store.committed_digests() | made.store.evicted_digests()
    assert before - after == {made.digests[task] for task in report.closure}


def test_the_job_is_done_no_longer(made: MadeRun) -> None:
    apply_retry(made.runs, "harbor", LAST_OF_DAWN)
    status = job_status(made.runs, "harbor")
    assert status.outcome == INTERRUPTED
    assert "farm resume" in status.reason


def test_failed_tasks_get_a_fresh_start(made: MadeRun) -> None:
    made.lose("dawn/00002/decode", "dawn/00002/segment")
    made.write(outcome=PARTIAL, failed=(FailedTask("dawn/00002/decode", "bug", "boom"),))
    report = retry_closure(made.runs, "harbor", Selection(state=RetryState.FAILED))
    assert report.closure == ("dawn/00002/decode", "dawn/00002/segment")
    assert apply_retry(made.runs, "harbor", Selection(state=RetryState.FAILED)).voided == 0
    with pytest.raises(UsageError, match="no chosen chunk is failed"):
        retry_closure(made.runs, "harbor", Selection(state=RetryState.FAILED))


def test_results_that_an_oom_changed_can_be_picked(made: MadeRun) -> None:
    made.lose("noon/00000/decode")
    digest = made.digests["noon/00000/decode"]
    made.store.put(digest, 2, "bin", b"tiled", {"exact": False, "ladder": ["tile_decode"]})
    report = retry_closure(made.runs, "harbor", Selection(state=RetryState.INEXACT))
    assert report.closure == ("noon/00000/decode", "noon/00000/segment")


def test_new_seeds_are_kept(made: MadeRun) -> None:
    choice = Selection(frozenset({"noon"}), reseed=True)
    report = apply_retry(made.runs, "harbor", choice)
    (change,) = report.seeds
    chunk = made.plan.videos[1].chunks[0]
    assert made.store.seed_overrides() == {("noon", chunk.decode_seed): change.seed}
    assert change.seed != chunk.seed


def test_the_driver_of_a_job_that_is_being_rendered_is_asked(made: MadeRun) -> None:
    before = made.store.committed_digests()
    made.write(outcome=RUNNING)
    with made.store.lock():
        report = apply_retry(made.runs, "harbor", LAST_OF_DAWN)
    assert (report.asked, report.voided) == (True, 0)
    assert made.store.committed_digests() == before
    (name,) = made.store.asked_retries()
    asked = made.store.asked_retry(name)
    assert asked is not None
    assert (asked.videos, asked.chunks, asked.reseed) == (("dawn",), (2,), False)


def test_what_a_driver_ends_without_is_done_by_who_asked(
    made: MadeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = made.store.lock()
    lock.acquire()
    made.write(outcome=RUNNING)

    def asked_too_late(store: Store, selection: Selection) -> str:
        name = ask(store, selection)
        made.write(outcome=DONE)
        lock.release()
        return name

    monkeypatch.setattr(retry, "ask", asked_too_late)
    report = apply_retry(made.runs, "harbor", LAST_OF_DAWN)
    assert (report.asked, report.voided) == (False, 3)
    assert made.store.asked_retries() == ()
    assert job_status(made.runs, "harbor").outcome == INTERRUPTED


def test_without_a_plan_there_is_no_closure(made: MadeRun) -> None:
    made.store.backend.replace("plan.json", b"{")
    with pytest.raises(DamagedDocument, match="farm render SPEC"):
        retry_closure(made.runs, "harbor", LAST_OF_DAWN)


def test_a_digest_that_leads_out_of_the_run_directory_deletes_nothing(made: MadeRun, tmp_path: Path) -> None:
    canary = tmp_path / "canary.json"
    canary.write_text("alive")
    forged = {**made.digests, "dawn/00002/segment": "../../../canary"}
    made.store.write_json("digests.json", {"digests": forged})
    with suppress(FarmError):
        apply_retry(made.runs, "harbor", LAST_OF_DAWN)
    assert canary.read_text() == "alive"
