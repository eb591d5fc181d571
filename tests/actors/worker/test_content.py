"""Files that change, or are another file for a while, under a worker that reads them."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from hashlib import sha256
from pathlib import Path

import pytest

from actors.worker.content import same_content
from actors.worker.order import TaskOrder
from jobs.errors import InvalidInput, WorkerLost
from jobs.file_digests import file_digest, moments
from jobs.planning.params import EncodeText
from jobs.tasks.task import Stage, StageTask


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"model A")
    return path


def reading(model: Path, of_the_job: bool) -> AbstractContextManager[None]:
    """A step while which the file is read, as a model of the job or as a LoRA of a shot."""
    files = {str(model): sha256(b"model A").hexdigest()}
    models, content = (files, {}) if of_the_job else ({}, files)
    task = StageTask("v/00000/encode", Stage.ENCODE, "v", 0, 0, (), EncodeText("p", ""), 0)
    return same_content(TaskOrder(task, "0" * 64, 1, {}, content=content), models)


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
    model.write_bytes(b"model B")
    os.utime(model, ns=(1, 1))
    step = reading(model, of_the_job)
    with pytest.raises(InvalidInput, match="has changed since this render began"), step:
        pytest.fail("it was read")


def test_a_model_that_is_gone_stays_in_memory(model: Path) -> None:
    model.unlink()
    with reading(model, of_the_job=True):
        pass


def test_moments_of_a_folder_are_those_of_its_files(model: Path) -> None:
    before = moments(model.parent)
    assert len(before) == 1
    model.chmod(0o600)
    assert moments(model.parent) != before
    assert moments(model.parent / "none") == ()
