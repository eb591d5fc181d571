"""The table of what tests take."""

from __future__ import annotations

import pytest

from tools.minutes_table import BEGIN, END, put, table

REPORT = """<testsuites><testsuite name="pytest" tests="3" time="90.0">
<testcase classname="tests.ray.test_pool" name="test_death[1]" time="61.0"/>
<testcase classname="tests.jobs.store.test_local" name="test_a" time="5.0"/>
<testcase classname="tests.jobs.test_frames" name="test_b" time="1.0"/>
</testsuite></testsuites>"""


def test_folders_are_counted_the_longest_first() -> None:
    lines = table(REPORT).splitlines()
    assert lines[0].startswith("`make test` took 1.5 minutes on two cores")
    assert [line for line in lines if line.startswith("| ")][2:] == [
        "| `tests/ray` | 1 | 1.0 |",
        "| `tests/jobs` | 2 | 0.1 |",
        "| all | 3 | 1.1 |",
    ]
    assert lines[-1].startswith(
        "The slowest: `tests/ray/test_pool.py::test_death[1]` 61 s, `tests/jobs/store/"
    )


def test_the_page_keeps_what_is_around_it() -> None:
    assert put(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(AssertionError, match="no place"):
        put("a\n", "new\n")
