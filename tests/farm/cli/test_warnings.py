"""What is warned of is told beside the result, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from farm.events import JobFinished, Notice
from farm.session.opening import Scope
from farm.session.session import JobSession
from farm.state.event_log import EventLog
from jobs.loading.load import load_spec

if TYPE_CHECKING:
    from tests.farm.cli.conftest import Farm

LINE = "dawn: 768x512, but the bundled tiny model films 128 to 256 pixels a side"
Write = Callable[[int, int], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a spec of one clip for the bundled model."""

    def to_file(width: int, height: int) -> Path:
        path = tmp_path / "film.yaml"
        clip = {"generate": {"prompt": "a red ball moves right over a teal background", "num_frames": 9}}
        document = {
            "name": "harbor",
            "defaults": {"width": width, "height": height, "steps": 1},
            "videos": [{"name": "dawn", "chunks": [clip]}],
            "output": {"dir": str(tmp_path / "out")},
        }
        path.write_text(yaml.safe_dump(document))
        return path

    return to_file


@pytest.mark.parametrize("verb", ["check", "plan"])
def test_as_text_and_as_json(farm: Farm, write: Write, tmp_path: Path, verb: str) -> None:
    runs = ("--runs", tmp_path / "runs") if verb == "plan" else ()
    answer = farm(verb, write(768, 512), *runs)
    assert answer.code == 0
    assert f"warning: {LINE}" in answer.err
    assert LINE not in answer.out
    (warning,) = farm(verb, write(768, 512), *runs, "-o", "json").json["warnings"]
    assert warning.startswith(LINE)
    fitting = farm(verb, write(128, 128), *runs, "-o", "json")
    assert (fitting.json["warnings"], fitting.err) == ([], "")


@pytest.mark.parametrize(("size", "told"), [((768, 512), 1), ((128, 128), 0)])
def test_a_render_tells_it_before_anything_else(
    write: Write, tmp_path: Path, size: tuple[int, int], told: int
) -> None:
    with JobSession(load_spec(write(*size)), Scope(str(tmp_path / "runs"))) as session:
        events = list(session.begin())
        warned = [event for event in events if isinstance(event, Notice) and LINE in event.message]
        assert len(warned) == told
        assert any(LINE in str(logged) for logged in EventLog(session.store)) == bool(told)
        assert isinstance([*session.finish("cancelled")][-1], JobFinished)
