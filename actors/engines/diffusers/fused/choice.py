"""Whether Triton's kernels run here; asked for fingerprints, before torch is imported."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sysconfig
from pathlib import Path

COMPILERS = ("gcc", "clang")
"""That Triton looks for where `CC` names none."""


def kernels_here() -> str:
    """`triton` where its kernels run on this machine's GPUs; they are built by a C compiler with Python's
    headers when they are first used. Else `torch`."""
    return "torch" if missing_for_kernels() else "triton"


def missing_for_kernels() -> str:
    """What Triton's kernels lack on this machine; empty where nothing."""
    if importlib.util.find_spec("triton") is None:
        return "the package triton"
    named = os.environ.get("CC")
    if not any(map(shutil.which, [named] if named else COMPILERS)):
        return f"a C compiler ({named or ' or '.join(COMPILERS)})"
    headers = Path(sysconfig.get_paths()["include"]) / "Python.h"
    return "" if headers.is_file() else f"Python's headers ({headers})"
