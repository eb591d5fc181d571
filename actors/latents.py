"""Latents that a user's file holds: as many as a film uses, and all of them numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from jobs.errors import InvalidInput
from jobs.loading.sources import latent_name
from jobs.weights.safetensors_header import read_header, tensors_start

BF16 = "BF16"
NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", BF16: "<u2"}
"""Number types of latents, as safetensors and numpy name them; numpy reads bfloat16 as bare bits."""
BF16_EXPONENT = 0x7F80


def check_latents(path: str | Path, wanted: int) -> None:
    """Read the last `wanted` latents of the file. Raises InvalidInput where one is no finite number, OSError,
    or ValueError for a file that is no whole safetensors."""
    header = read_header(Path(path))
    entry = header[latent_name(header)]
    if entry["dtype"] not in NUMBERS:
        raise InvalidInput(f"{path} holds {entry['dtype']} numbers; store the latents as F32, F16 or BF16")
    start = tensors_start(Path(path)) + entry["data_offsets"][0]
    stored = np.memmap(path, NUMBERS[entry["dtype"]], "r", start, tuple(entry["shape"]))
    for channel in stored[0]:
        if not _finite(channel[-wanted:], entry["dtype"]):
            raise InvalidInput(f"{path} holds latents that are no finite numbers; make them again")


def _finite(numbers: np.ndarray, dtype: str) -> bool:
    if dtype == BF16:
        return not ((numbers & BF16_EXPONENT) == BF16_EXPONENT).any()
    return bool(np.isfinite(numbers).all())
