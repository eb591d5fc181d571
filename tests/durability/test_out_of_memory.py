"""Memory really runs out in the decoder, at the full window: the film is completed in tiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.state.job_state import DONE
from jobs.failures import ladder

ROOT = Path(__file__).parents[2]
MORE_BYTES = 350 * 2**20
"""Too little for 31 latents at once and enough for 6."""


@pytest.mark.slow
def test_a_decoder_without_memory_for_the_window_takes_tiles_and_nothing_is_sampled_again(
    tmp_path: Path,
) -> None:
    spec = {
        "version": 1,
        "name": "harbor",
        "defaults": {"width": 256, "height": 256, "steps": 1},
        "videos": [
            {
                "name": "take",
                "chunks": [{"generate": {"num_frames": 241, "prompt": "a red ball moves right"}}],
            }
        ],
        "output": {"dir": str(tmp_path / "out"), "preset": "ultrafast"},
        "run": {"threads": 1},
    }
    command = [sys.executable, Path(__file__).with_name("starved.py"), json.dumps(spec), tmp_path / "runs"]
    done = subprocess.run(
        [*map(str, command), str(MORE_BYTES)],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["outcome"] == DONE
    assert told["failed"] == [["take/00000/decode", "oom"]] * len(ladder("decode"))
    assert [task.partition("/")[2] for task in told["committed"][1:]] == [
        "00000/sample",
        "00000/decode",
        "00000/segment",
    ]
    ((_, exact),) = told["films"].values()
    assert not exact
