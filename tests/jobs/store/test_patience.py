"""Who waits for a store is told so, however the wait is made up."""

from __future__ import annotations

import logging

import pytest

from jobs.store import patience


class Clock:
    """Seconds that pass when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("jobs.store.patience.time.monotonic", made.monotonic)
    return made


def call(
    watch: patience._Watch, clock: Clock, seconds: float, place: str = "s3://a", fails: bool = True
) -> None:
    """A call of so many seconds, looked at on the way and at its end."""
    try:
        with watch.over(place):
            clock.now += seconds
            watch.look()
            if fails:
                raise TimeoutError
    except TimeoutError:
        pass


@pytest.fixture
def watch() -> patience._Watch:
    made = patience._Watch()
    made._started = True
    return made


def test_short_waits_in_a_row_are_one_long_one(
    clock: Clock, watch: patience._Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """Each call to a silent store may end before it would be reported; together they were silent for 20 s."""
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            call(watch, clock, 4.0)
    assert [
        record.getMessage().split(" has ")[-1] for record in caplog.records if "still" in record.getMessage()
    ] == [
        "not answered for 5 s; still trying",
        "not answered for 15 s; still trying",
    ]


@pytest.mark.parametrize("between", ["an answer", "another place", "a while"])
def test_what_was_answered_or_is_over_counts_no_more(
    clock: Clock, watch: patience._Watch, caplog: pytest.LogCaptureFixture, between: str
) -> None:
    with caplog.at_level(logging.WARNING):
        call(watch, clock, 4.0, fails=between != "an answer")
        clock.now += patience.SOON_S if between == "a while" else 0.0
        call(watch, clock, 4.0, place="s3://b" if between == "another place" else "s3://a")
    assert not caplog.records
