from __future__ import annotations

import pytest

from jobs.wording import amount


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (0, "0 films"),
        (1, "1 film"),
        (2, "2 films"),
        (1.0, "1 film"),
        (0.5, "0.5 films"),
        (1234567, "1234567 films"),
    ],
)
def test_amounts(count: float, told: str) -> None:
    assert amount(count, "film") == told
