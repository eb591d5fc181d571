"""How large the parts of a model file are, read off its header."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jobs.weights.gguf import read_gguf
from jobs.weights.safetensors_header import read_header

SUFFIX, GGUF_SUFFIX = ".safetensors", ".gguf"


def tensor_bytes(path: Path, counts: Callable[[str], bool]) -> int:
    """Bytes of the tensors whose names count; 0 for a file that is none or is damaged."""
    try:
        if path.suffix.lower() == GGUF_SUFFIX:
            return sum(info.size for name, info in read_gguf(path)[0].items() if counts(name))
        tensors = read_header(path)
    except (OSError, ValueError):
        return 0
    tensors.pop("__metadata__", None)
    spans = (entry["data_offsets"] for name, entry in tensors.items() if counts(name))
    return sum(stop - start for start, stop in spans)
