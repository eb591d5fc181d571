"""`farm check` finds what a render would stumble over."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    assert "'wall' instead of 'wal'" in answer.err
    assert "MODEL_CARD.md" in answer.err
    assert max(map(len, answer.err.splitlines())) < 350


def test_a_topology_without_a_stage_leaves_no_job(farm: Farm, tmp_path: Path, spec: Path) -> None:
    runs = tmp_path / "runs"
    answer = farm("render", spec, "--topology", "sample=1", "--runs", runs)
    assert answer.code == 2
    assert "topology: 'sample=1'" in answer.err
    assert "add `decode=1`" in answer.err
    assert not runs.exists()
    answer = farm("check", spec, "-p", "run.topology=sample=1")
    assert (answer.code, "run.topology" in answer.err) == (2, True)


def test_every_stage_that_nobody_hosts_is_in_the_remedy(farm: Farm, tmp_path: Path, spec: Path) -> None:
    answer = farm("plan", spec, "--topology", "segment=1,encode=1", "--runs", tmp_path / "runs")
    assert (answer.code, "add `sample+decode=1`" in answer.err) == (2, True)


def test_a_misspelt_file_is_answered_with_the_spec_beside_it(farm: Farm, spec: Path) -> None:
    answer = farm("check", spec.with_name("flim.yaml"))
    assert (answer.code, "did you mean film.yaml?" in answer.err) == (2, True)
    answer = farm("check", spec.with_name("harbor.yaml"))
    assert "give the path of a job spec" in answer.err


def test_models_that_are_nowhere_on_this_machine_are_said(farm: Farm, tmp_path: Path) -> None:
    film = "videos: [{name: cat, chunks: [{generate: {prompt: a black cat}}]}]\n"
    spec = write(tmp_path, "name: cat\nengine: {checkpoint: owner/model}\n" + film)
    answer = farm("check", spec)
    assert answer.code == 0
    assert "no model file was found on this machine (owner/model): none was checked" in answer.err
    spec = write(tmp_path, "name: cat\nengine: {name: comfyui, checkpoint: a.safetensors}\n" + film)
    assert "(a.safetensors)" in farm("check", spec).err
    models = tmp_path / "comfy" / "models" / "checkpoints"
    models.mkdir(parents=True)
    (models / "a.safetensors").write_bytes(b"\x02" + b"\0" * 7 + b"{}")
    (tmp_path / "comfy" / "main.py").touch()
    assert "no model file" not in farm("check", spec, "--comfyui", tmp_path / "comfy").err
    assert (
        "no model file" not in farm("check", write(tmp_path, "name: cat\nengine: {name: fake}\n" + film)).err
    )
