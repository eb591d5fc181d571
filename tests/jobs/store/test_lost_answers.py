"""The store did what it was asked, and the answer was lost on the way: whoever asked recognises its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.errors import JobBusy
from jobs.store.lock import LockTiming
from jobs.store.store import Store
from tests.faulty_s3 import LostAnswers, faulty_s3

DIGEST = "ab" * 32
SLOW = LockTiming(beat_s=30.0, stale_s=60.0)
ONCE = "1"


@pytest.fixture(params=["the client tries again", "the client gives up"])
def attempts(request: pytest.FixtureRequest) -> str:
    """How often the client of the store tries by itself."""
    return ONCE if request.param.endswith("gives up") else "3"


@pytest.fixture
def faults() -> LostAnswers:
    return LostAnswers()


@pytest.fixture
def runs(faults: LostAnswers, attempts: str) -> Iterator[str]:
    with faulty_s3(faults, AWS_MAX_ATTEMPTS=attempts) as url:
        yield url


def test_the_probe_of_the_medium_recognises_its_file(runs: str, faults: LostAnswers) -> None:
    Store.open(runs, "harbor")
    assert len(faults.lost) == 1


def test_the_lock_recognises_its_token(runs: str, faults: LostAnswers) -> None:
    store = Store.open(runs, "harbor")
    faults.lost.clear()
    with store.lock(SLOW) as lock:
        assert lock.held
        assert [key.rsplit("/", 2)[1] for key in faults.lost] == ["lock"]
        with pytest.raises(JobBusy, match="that process is running"):
            Store.open(runs, "harbor").lock(SLOW).acquire()


def test_a_commit_recognises_its_record(runs: str, faults: LostAnswers) -> None:
    store = Store.open(runs, "harbor")
    faults.lost.clear()
    first = store.put(DIGEST, 1, "bin", b"frames", {"worker": "a"})
    assert [key.rsplit("/", 2)[1] for key in faults.lost] == ["commits"]
    assert store.commit(DIGEST) == first
    assert store.put(DIGEST, 2, "bin", b"others", {"worker": "b"}) == first
    assert store.read(first) == b"frames"
    assert len(store.backend.entries("artifacts")) == 1
