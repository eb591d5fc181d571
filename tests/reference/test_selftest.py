"""`farm selftest` on reduced files that Lightricks' own modules made and named."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.reference


@pytest.mark.parametrize("name", ["2b-0.9.0", "2b-0.9.5"])
def test_a_reduced_file_passes(name: str, file_of: Any) -> None:
    from farm.selftest.run import SelftestRequest, examine
    from jobs.spec.engine import EngineConfig

    engine = EngineConfig(checkpoint=str(file_of(name)))
    result = examine(
        SelftestRequest(engine, "cpu", 1, trained=False, frames=17, new_frames=8, steps=2), lambda _: None
    )
    parts = {part.name: part for part in result.parts}
    assert result.verdict == "pass"
    assert not result.trained
    assert max(parts["reference"].numbers["relative_l2"]) < 1e-4
    assert len(parts["film"].numbers["seams"]) == 5
