"""What a medium refuses, in the words of the failure table: one builder for store, films and steps."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

from jobs.errors import StorageProblem

CAUSES = {
    errno.ENOENT: "the folder is not there any more (a lost mount, or moved)",
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file-size limit is reached",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.EIO: "the device reports an I/O error",
    errno.ELOOP: "a symbolic link stands where the farm keeps a folder or a file of its own",
    errno.EINVAL: "it is no regular file",
    errno.ETIMEDOUT: "the store does not answer",
    errno.ESTALE: "the network mount went away",
}
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def storage_problem(
    error: Exception, path: str, need_bytes: int = 0, free_bytes: int | None = None, before: str = ""
) -> StorageProblem:
    """The error with path and cause, on a full medium with need and what is free; `before` is said first."""
    code = getattr(error, "errno", None) or 0
    cause = CAUSES.get(code, str(error) or type(error).__name__)
    full = code in FULL
    numbers = [f"needs {need_bytes:,} bytes"] if full and need_bytes else []
    if full and free_bytes is not None:
        numbers.append(f"{free_bytes:,} bytes are free")
    because = f"{cause} ({', '.join(numbers)})" if numbers else cause
    cure = "Make space" if full else "Restore access"
    begun = f"{before}: " if before else ""
    problem = StorageProblem(f"{begun}{path or 'storage'}: {because}. {cure} there, then resume the job.")
    problem.path, problem.cause, problem.full = path, because, full
    problem.need_bytes, problem.free_bytes = need_bytes, free_bytes
    return problem


def free_bytes_at(path: Path) -> int | None:
    """Free bytes of the file system that holds `path`, for an ordinary user."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
