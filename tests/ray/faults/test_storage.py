"""Runs in a bucket, under workers that are processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.ray.kit.commands import farm, write_spec
from tests.ray.kit.specs import document, records


def test_a_bucket_serves_as_well(
    s3_url: str, tmp_path: Path, serial_films: Callable[..., dict[str, str]]
) -> None:
    """They know the server from their environment."""
    spec = write_spec(tmp_path, document(tmp_path / "out", videos=2, count=2))
    done = farm("render", spec, "--runs", f"{s3_url}/ray", "-t", "sample=1,upscale+decode=1,segment=1")
    assert done.returncode == 0, done.stderr
    log = records(f"{s3_url}/ray")
    films = {e["video"]: e["sha256"] for e in log if e["event"] == "film_delivered" and not e["preview"]}
    assert films == serial_films(videos=2, count=2)
