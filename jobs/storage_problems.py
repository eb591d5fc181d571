"""What a medium refuses, in the words of the failure table, and whose files they are: one builder for store,
films and steps."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import AccessDenied, StorageProblem

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
DENIED = frozenset({errno.EACCES, errno.EPERM})


def user_name(uid: int | None = None) -> str:
    """The name of a user, of the one whom this process runs as without `uid`; `uid 7` where it has none."""
    uid = os.geteuid() if uid is None else uid
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@dataclass(frozen=True, slots=True)
class Barrier:
    """A file or folder that bars this user; `owner` is another one."""

    place: Path
    owner: str
    mode: str

    def __str__(self) -> str:
        return f"{self.place} is {self.owner}'s, {self.mode}, and you are {user_name()}"


def barred(path: Path) -> Barrier | None:
    """Which file or folder of another user keeps this one from reading or writing `path`; None where none
    does."""
    nearest = next((part for part in (path, *path.parents) if os.access(part, os.F_OK)), Path("/"))
    folder = nearest if nearest.is_dir() else nearest.parent
    needs = [(nearest, os.R_OK), (folder, os.W_OK | os.X_OK), (nearest, os.W_OK)]
    place = next((each for each, right in needs if not os.access(each, right)), None)
    found = place.stat() if place is not None else None
    if place is None or found is None or found.st_uid == os.geteuid():
        return None
    return Barrier(place, user_name(found.st_uid), stat.filemode(found.st_mode))


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
    bar = barred(Path(path)) if code in DENIED and "://" not in path else None
    kind, remedy = StorageProblem, f"{cure} there, then resume the job"
    if bar is not None:
        kind, because = AccessDenied, f"{cause} ({bar})"
        remedy = (
            f"Ask {bar.owner} to do it, or for a folder of a group that you both are in (docs/operations.md)"
        )
    problem = kind(f"{begun}{path or 'storage'}: {because}. {remedy}.")
    problem.path, problem.cause, problem.full = path, because, full
    problem.need_bytes, problem.free_bytes = need_bytes, free_bytes
    return problem


def free_bytes_at(path: Path) -> int | None:
    """Free bytes of the file system that holds `path`, for an ordinary user."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None
