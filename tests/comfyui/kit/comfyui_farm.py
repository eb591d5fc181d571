"""The farm's serial reference on `engine: comfyui`, and what it leaves in its store."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    import numpy as np

    from actors.payload import Payload

ROOT = Path(__file__).resolve().parents[3]


def render_serial(spec: dict[str, Any], folder: Path) -> Path:
    """Renders a job in `folder`; returns its runs directory. Fails with what the command wrote."""
    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(spec))
    command = [sys.executable, "-m", "farm.cli.main", "render", str(path), "--serial"]
    done = subprocess.run(
        [*command, "--runs", str(folder / "runs")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]
    return folder / "runs"


def render_here(spec: dict[str, Any], folder: Path) -> Path:
    """As `render_serial`, in this process, whose ComfyUI knows the test's own model folders."""
    from farm.cli.main import run

    path = folder / "job.yaml"
    path.write_text(yaml.safe_dump(spec))
    assert run(["render", str(path), "--serial", "--runs", str(folder / "runs")]) == 0
    return folder / "runs"


def artifacts(runs: Path, job: str, stage: str, video: str) -> list[Payload]:
    """What one stage of a video committed, in the order of its chunks."""
    from actors.payload import unpack
    from jobs.store.store import Store

    store = Store.open(str(runs), job)
    by_task = {commit.provenance["task"]: commit for commit in store.commits().values()}
    names = sorted(name for name in by_task if name.startswith(f"{video}/") and name.endswith(f"/{stage}"))
    return [unpack(store.read(by_task[name])) for name in names]


def sampled_chain(runs: Path, job: str, video: str, overlap: int) -> np.ndarray:
    """The whole chain `[1, C, T, h, w]` from a video's sample artifacts, later ones over earlier ones."""
    from actors.chain import gather
    from jobs.frames import Span

    latents = [payload["latents"] for payload in artifacts(runs, job, "sample", video)]
    spans, stop = [], 0
    for index, artifact in enumerate(latents):
        held = artifact.shape[2]
        stop += held if index == 0 else held - overlap
        spans.append(Span(stop - held, stop))
    return gather(latents, spans, Span(0, stop))
