"""Files that a spec names."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.jobs.spec_files import NO_TENSORS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("dawn.png", "score.wav", "shot.mp4", "lora.pt"):
        (tmp_path / name).write_bytes(b"content")
    (tmp_path / "lora.safetensors").write_bytes(NO_TENSORS)
    return tmp_path
