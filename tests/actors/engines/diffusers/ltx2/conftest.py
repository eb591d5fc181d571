"""The engine on a small LTX-2 file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from actors.engines.make import make_engine
from jobs.planning.params import EncodeText
from jobs.spec.engine import EngineConfig
from jobs.tasks.task import Stage

if TYPE_CHECKING:
    from pathlib import Path

    from actors.engines.base import Engine
    from actors.payload import Payload


@pytest.fixture(scope="session")
def engine(small_ltx2: Path) -> Engine:
    engine = make_engine(EngineConfig(checkpoint=str(small_ltx2)), "cpu", 1)
    engine.setup(frozenset(Stage) - {Stage.SEGMENT})
    return engine


@pytest.fixture(scope="session")
def conditioning(engine: Engine) -> Payload:
    return engine.encode_text(EncodeText("a red ball bounces", ""))
