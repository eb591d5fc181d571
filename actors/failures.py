"""What an exception from a stage means: every one becomes a `StageError`, whose kind picks the policy."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import (
    FarmError,
    InvalidInput,
    OutOfMemory,
    StageBug,
    StageError,
    WorkerLost,
)
from jobs.storage_problems import storage_problem

_STORAGE = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.EIO,
        errno.ESTALE,
    }
)
_OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "std::bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",
    "CUDNN_STATUS_ALLOC_FAILED",
    "_ALLOCATION_FAILED",
)
"""What libraries say; cuBLAS is not initialized where its handle finds no room, and cuDNN 9 tells host and
device allocations apart."""
_DEVICE_GONE = ("CUDA error", "CUDNN_STATUS_EXECUTION_FAILED", "NCCL error")


@contextmanager
def stage_errors(task: str) -> Iterator[None]:
    """Let nothing but `StageError` leave the block.

    No variable here holds what is raised: with its traceback it would be a cycle, in which all that the
    failed step held, device memory too, would wait for the garbage collector.
    """
    try:
        yield
    except StageError:
        raise
    except Exception as error:
        raise classify(error, task) from error


LESS_MEMORY = "where this repeats, take a smaller size or shorter chunks, or a GPU with more memory"


def classify(error: Exception, task: str) -> StageError:
    """The `StageError` that says what `error` means for `task`."""
    if isinstance(error, StageError):
        return error
    if isinstance(error, FarmError):
        return InvalidInput(f"{task}: {error}")
    if _is_out_of_memory(error):
        return OutOfMemory(f"{task}: {_cause(error)}; {LESS_MEMORY}")
    if isinstance(error, OSError) and error.errno in _STORAGE:
        return storage_problem(error, str(error.filename or ""), before=task)
    if isinstance(error, RuntimeError) and any(sign in str(error) for sign in _DEVICE_GONE):
        return WorkerLost(f"{task}: {_cause(error)}; the worker is replaced")
    return StageBug(f"{task}: {_cause(error)}; where it fails on two workers, report it")


def _is_out_of_memory(error: Exception) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch and isinstance(error, torch.OutOfMemoryError)):
        return True
    too_little = isinstance(error, OSError) and error.errno == errno.ENOMEM
    message = isinstance(error, RuntimeError) and any(sign in str(error) for sign in _OUT_OF_MEMORY)
    return too_little or message


def _cause(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
