"""`farm check` finds what a render would stumble over."""

from __future__ import annotations

from pathlib import Path

from tests.farm.cli.conftest import Farm


def write(folder: Path, text: str) -> Path:
    path = folder / "film.yaml"
    path.write_text(text)
    return path


def test_words_that_the_bundled_model_does_not_know(farm: Farm, tmp_path: Path) -> None:
    spec = write(
        tmp_path,
        "name: cat\nvideos: [{name: cat, chunks: [{generate: {prompt: a black cat on a wal}}]}]\n",
    )
    answer = farm("check", spec)
    assert answer.code == 2
    assert "videos[0].chunks[0].generate.prompt: 'cat', 'wal' (line 2)" in answer.err
    assert "'wall' instead of 'wal'" in answer.err and "MODEL_CARD.md" in answer.err
    assert max(map(len, answer.err.splitlines())) < 350
