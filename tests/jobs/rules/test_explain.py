"""One mistake, one error."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.errors import SpecError
from jobs.loading.load import load_spec


@pytest.mark.parametrize(
    ("settings", "place", "meant"),
    [
        ({"promt": "a boat"}, "generate.promt", "prompt"),
        ({"prompt": "a boat", "num_frame": 16}, "generate.num_frame", "num_frames"),
    ],
)
def test_a_misspelt_field_is_not_missing_too(settings: dict[str, Any], place: str, meant: str) -> None:
    spec = {
        "version": 1,
        "name": "harbor",
        "engine": {"name": "fake"},
        "videos": [{"name": "dawn", "chunks": [{"generate": settings}]}],
    }
    with pytest.raises(SpecError) as refused:
        load_spec(spec)
    (problem,) = refused.value.problems
    assert problem.place == f"videos[0].chunks[0].{place}"
    assert problem.remedy == f"did you mean `{meant}`?"
