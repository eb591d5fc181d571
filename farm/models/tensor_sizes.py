"""How large the parts of a model file are, read off its header."""

from __future__ import annotations

from pathlib import Path

from jobs.weights.safetensors_header import read_header

SUFFIX = ".safetensors"


def tensor_bytes(path: Path, prefix: str) -> int:
    """Bytes of the tensors whose names begin with `prefix`; 0 for a file that is none or is damaged."""
    try:
        tensors = read_header(path)
    except (OSError, ValueError):
        return 0
    tensors.pop("__metadata__", None)
    spans = (entry["data_offsets"] for name, entry in tensors.items() if name.startswith(prefix))
    return sum(stop - start for start, stop in spans)
