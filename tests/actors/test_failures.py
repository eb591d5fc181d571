"""Real exceptions become the right rows of the failure table."""

from __future__ import annotations

import contextlib
import errno
import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.failures import classify, stage_errors
from jobs.errors import (
    BadOutput,
    CannotRun,
    InvalidInput,
    OutOfMemory,
    StageBug,
    StageError,
    StorageProblem,
    WorkerLost,
)


def _allocate_too_much() -> None:
    torch.empty(10**15, dtype=torch.uint8)


def _allocate_too_much_in_numpy() -> None:
    np.empty(10**15, dtype=np.uint8)


def _fill_a_disk() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full:
        full.write(b"x")


def _cuda_out_of_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _no_room_for_a_cublas_handle() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`")


def _no_room_for_a_matrix_product() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")


def _no_room_for_a_convolution() -> None:
    raise RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")


def _no_room_for_a_convolution_in_cudnn_9() -> None:
    raise RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED")


def _no_host_memory() -> None:
    raise RuntimeError("std::bad_alloc")


def _cublas_lost_its_device() -> None:
    raise RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasSgemm(handle)`")


def _device_fell_off() -> None:
    raise RuntimeError("CUDA error: unspecified launch failure")


def _read_error() -> None:
    raise OSError(errno.EIO, "Input/output error", "/mnt/shared/clip.mp4")


def _wrong_environment() -> None:
    raise CannotRun("no ffmpeg; install it")


def _bug() -> None:
    torch.ones(2) @ torch.ones(3)


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (_allocate_too_much, OutOfMemory),
        (_allocate_too_much_in_numpy, OutOfMemory),
        (_cuda_out_of_memory, OutOfMemory),
        (_no_room_for_a_cublas_handle, OutOfMemory),
        (_no_room_for_a_matrix_product, OutOfMemory),
        (_no_room_for_a_convolution, OutOfMemory),
        (_no_room_for_a_convolution_in_cudnn_9, OutOfMemory),
        (_no_host_memory, OutOfMemory),
        (_cublas_lost_its_device, WorkerLost),
        (_fill_a_disk, StorageProblem),
        (_read_error, StorageProblem),
        (_device_fell_off, WorkerLost),
        (_wrong_environment, InvalidInput),
        (_bug, StageBug),
    ],
)
def test_causes(cause: object, kind: type[StageError]) -> None:
    with pytest.raises(kind) as caught, stage_errors("film/00000/decode"):
        cause()  # type: ignore[operator]
    assert type(caught.value) is kind
    assert str(caught.value).startswith("film/00000/decode: ")


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("cause", [MemoryError("no room"), BadOutput("black; try again")])
@pytest.mark.usefixtures("no_collector")
def test_what_a_failed_step_held_goes_with_its_error(cause: Exception) -> None:
    held: list[weakref.ref[torch.Tensor]] = []

    def step() -> None:
        latents = torch.zeros(8)
        held.append(weakref.ref(latents))
        raise type(cause)(*cause.args)

    with contextlib.suppress(StageError), stage_errors("x"):
        step()
    assert held[0]() is None


def test_stage_errors_pass_untouched() -> None:
    error = BadOutput("black; try again")
    assert classify(error, "x") is error


def test_the_path_of_a_storage_problem_is_kept() -> None:
    problem = classify(OSError(errno.ENOSPC, "No space left on device", "/runs/a"), "x")
    assert isinstance(problem, StorageProblem)
    assert problem.path == "/runs/a"


def test_interrupts_are_not_swallowed() -> None:
    with pytest.raises(KeyboardInterrupt), stage_errors("x"):
        raise KeyboardInterrupt


def test_memory_that_ran_out_promises_no_next_attempt() -> None:
    """Whether there is one is not known here: the message also ends the story of a quarantined task."""
    said = str(classify(torch.OutOfMemoryError("CUDA out of memory"), "dawn/00000/sample"))
    assert "next attempt" not in said
    assert said.endswith("take a smaller size or shorter chunks, or a GPU with more memory")
