"""Whether Triton's kernels run here; asked for fingerprints, before torch is imported."""

from __future__ import annotations

import importlib.util
import os
import shutil

COMPILERS = ("cc", "gcc", "clang")


def kernels_here() -> str:
    """`triton` where its kernels run on this machine's GPUs; they are built by a C compiler
    when they are first used. Else `torch`."""
    if importlib.util.find_spec("triton") is None:
        return "torch"
    named = os.environ.get("CC")
    return "triton" if any(map(shutil.which, [named] if named else COMPILERS)) else "torch"
