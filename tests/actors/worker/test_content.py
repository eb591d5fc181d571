"""Files that change, or are another file for a while, under a worker that reads them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from actors.engines.diffusers.engine import DiffusersEngine
from actors.models import TINY_CHECKPOINT
from actors.worker.content import LoadedModel, same_content
from actors.worker.order import TaskOrder, WorkerConfig
from actors.worker.worker import StageWorker
from jobs.errors import CannotRun, InvalidInput, WorkerLost
from jobs.file_digests import FileDigests, file_digest, moments
from jobs.planning.params import EncodeText
from jobs.spec.engine import EngineConfig
from jobs.store.store import Store
from jobs.tasks.task import Stage, StageTask


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"model A")
    return path


def reading(model: Path, of_the_job: bool) -> AbstractContextManager[None]:
    """A step while which the file is read, as a model of the job or as a LoRA of a shot."""
    path, content = str(model), sha256(b"model A").hexdigest()
    if of_the_job:
        return same_content(order({}), {path: LoadedModel(content, moments(model))})
    return same_content(order({path: content}), {})


def order(content: dict[str, str]) -> TaskOrder:
    task = StageTask("v/00000/encode", Stage.ENCODE, "v", 0, 0, (), EncodeText("p", ""), 0)
    return TaskOrder(task, "0" * 64, 1, {}, content=content)


def put_another_for_a_while(model: Path) -> None:
    aside = model.rename(model.with_suffix(".aside"))
    model.write_bytes(b"model B")
    aside.replace(model)


whose = pytest.mark.parametrize("of_the_job", [True, False], ids=["engine", "shot"])


@whose
def test_a_file_that_was_another_meanwhile_costs_the_worker(model: Path, of_the_job: bool) -> None:
    """Name, inode, size, content and time of change are what they were."""
    was = model.stat()
    step = reading(model, of_the_job)
    with pytest.raises(WorkerLost, match=f"{model} was touched while v/00000/encode ran"), step:
        put_another_for_a_while(model)
    assert file_digest(model) == sha256(b"model A").hexdigest()
    assert (model.stat().st_ino, model.stat().st_mtime_ns) == (was.st_ino, was.st_mtime_ns)
    with reading(model, of_the_job):
        pass


@whose
def test_another_file_is_refused_before_it_is_read(model: Path, of_the_job: bool) -> None:
    step = reading(model, of_the_job)
    model.write_bytes(b"model B")
    os.utime(model, ns=(1, 1))
    with pytest.raises(InvalidInput, match="has changed since this render began"), step:
        pytest.fail("it was read")


def test_a_model_that_is_gone_stays_in_memory(model: Path) -> None:
    step = reading(model, of_the_job=True)
    model.unlink()
    with step:
        pass


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model in a folder, as a text encoder is."""
    folder = tmp_path / "encoder"
    for name in ("config.json", "text_encoder/a.safetensors", "text_encoder/b.safetensors"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def put_hidden_files(folder: Path) -> None:
    """As downloads, file managers and network file systems leave them."""
    for name in (".cache/huggingface/x.lock", "text_encoder/.DS_Store", "text_encoder/.nfs0001"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def test_hidden_files_in_a_models_folder_are_not_of_the_model(folder: Path) -> None:
    was = file_digest(folder), moments(folder)
    loaded = {str(folder): LoadedModel(*was)}
    with same_content(order({}), loaded):
        put_hidden_files(folder)
    with same_content(order({}), loaded):
        pass
    assert (file_digest(folder), moments(folder)) == was


def test_a_file_that_is_not_hidden_is_of_the_model(folder: Path) -> None:
    loaded = {str(folder): LoadedModel(file_digest(folder), moments(folder))}
    (folder / "text_encoder" / "c.safetensors").touch()
    with pytest.raises(InvalidInput, match=f"{folder} has changed"), same_content(order({}), loaded):
        pytest.fail("it was read")


def test_a_model_that_is_as_it_was_loaded_is_walked_twice_and_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = {str(folder): LoadedModel(file_digest(folder), moments(folder))}
    walked: list[Path] = []
    walk = os.walk

    def noted(place: Path) -> Iterator[tuple[str, list[str], list[str]]]:
        walked.append(place)
        return walk(str(place))

    monkeypatch.setattr("os.walk", noted)
    monkeypatch.setattr(FileDigests, "digest", lambda _, path: pytest.fail(f"{path} was read again"))
    with same_content(order({}), loaded):
        pass
    assert walked == [folder, folder]


def test_a_model_with_other_rights_is_the_same(folder: Path) -> None:
    loaded = {str(folder): LoadedModel(file_digest(folder), moments(folder))}
    (folder / "config.json").chmod(0o600)
    with same_content(order({}), loaded):
        pass


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_model_that_was_another_while_it_was_loaded_starts_no_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    model = Path(shutil.copy(TINY_CHECKPOINT, tmp_path / "tiny.safetensors"))
    load = DiffusersEngine.setup

    def meanwhile(engine: DiffusersEngine, stages: frozenset[Stage]) -> None:
        if when == "before":
            put_another_for_a_while(model)
        load(engine, stages)
        if when == "after":
            put_another_for_a_while(model)

    monkeypatch.setattr(DiffusersEngine, "setup", meanwhile)
    engine = EngineConfig(name="diffusers", checkpoint=str(model))
    runs = str(tmp_path / "runs")
    worker = StageWorker(WorkerConfig(engine, frozenset({Stage.DECODE}), "cpu", 1, runs, "job"))
    with (
        Store.open(runs, "job").lock(),
        pytest.raises(CannotRun, match=f"{model} was touched while it was loaded"),
    ):
        worker.setup()
    worker.destroy()


def test_moments_of_a_folder_are_those_of_its_files(model: Path) -> None:
    before = moments(model.parent)
    assert len(before) == 1
    model.chmod(0o600)
    assert moments(model.parent) != before
    assert moments(model.parent / "none") == ()
