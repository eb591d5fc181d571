"""What crosses the store between stages: named arrays in one safetensors file.

Written here and not with the safetensors package because that package orders its metadata at random, and
the same result must have the same bytes. Any safetensors reader opens the files.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.errors import CorruptArtifact
from jobs.weights.safetensors_header import LENGTH_BYTES, header_in

if TYPE_CHECKING:
    import torch

BF16_KEY = "bf16"
"""Metadata entry: comma-separated names of the arrays that hold bfloat16 bits in uint16."""

_ALIGNMENT_BYTES = 8
_DTYPES = {
    "F64": np.float64,
    "F32": np.float32,
    "F16": np.float16,
    "BF16": np.uint16,
    "I64": np.int64,
    "I32": np.int32,
    "I16": np.int16,
    "I8": np.int8,
    "U64": np.uint64,
    "U32": np.uint32,
    "U16": np.uint16,
    "U8": np.uint8,
    "BOOL": np.bool_,
}
_NAMES = {np.dtype(kind): name for name, kind in _DTYPES.items() if name != "BF16"}


@dataclass(frozen=True)
class Payload:
    """Arrays by name, and strings that describe them.

    Names in use: `latents` `[1, C, T, h, w]`, `audio_latents`, `positive`, `positive_mask`, `negative`,
    `negative_mask`, `frames` uint8 `[F, H, W, 3]`, `audio` float32 `[2, samples]` (meta `audio_rate`).
    Arrays that come out of a store or an object store are read-only and shared: never write into them.
    """

    arrays: dict[str, np.ndarray]
    meta: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, name: str) -> np.ndarray:
        return self.arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self.arrays.values())

    def copy(self) -> Payload:
        """The same with arrays of its own."""
        return Payload({name: array.copy() for name, array in self.arrays.items()}, dict(self.meta))

    @property
    def bf16_names(self) -> frozenset[str]:
        """Names of the arrays that hold bfloat16 bits."""
        return frozenset(filter(None, self.meta.get(BF16_KEY, "").split(",")))


def pack(payload: Payload) -> memoryview:
    """Serialise to the safetensors layout; equal payloads give equal bytes.

    Large arrays are copied once, and without the interpreter lock: another thread goes on feeding the device.
    The result is a read-only view of bytes.
    """
    entries: dict[str, Any] = {}
    arrays: list[np.ndarray] = []
    offset = 0
    # Wide elements first keeps every array aligned to its element size without padding in between.
    for name in sorted(payload.arrays, key=lambda name: (-payload.arrays[name].itemsize, name)):
        array = np.ascontiguousarray(payload.arrays[name])
        kind = "BF16" if name in payload.bf16_names else _NAMES[array.dtype]
        entries[name] = {
            "dtype": kind,
            "shape": list(payload.arrays[name].shape),
            "data_offsets": [offset, offset + array.nbytes],
        }
        arrays.append(array)
        offset += array.nbytes
    header = _header(entries, payload.meta)
    start = len(header).to_bytes(LENGTH_BYTES, "little") + header
    packed = np.empty(len(start) + offset, dtype=np.uint8)
    packed[: len(start)] = np.frombuffer(start, dtype=np.uint8)
    body = packed[len(start) :]
    for array in arrays:
        place, body = body[: array.nbytes], body[array.nbytes :]
        place[...] = array.reshape(-1).view(np.uint8)
    return packed.data.toreadonly()


def _header(entries: dict[str, Any], meta: dict[str, str]) -> bytes:
    table = {"__metadata__": dict(sorted(meta.items())), **entries} if meta else entries
    text = json.dumps(table, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % _ALIGNMENT_BYTES)


def unpack(data: bytes | memoryview) -> Payload:
    """Read the safetensors layout; the arrays are read-only views of `data`.

    Raises `CorruptArtifact` where the bytes are no such file.
    """
    try:
        table, start = header_in(data)
        body = memoryview(data)[start:]
        meta = {str(key): str(value) for key, value in table.pop("__metadata__", {}).items()}
        arrays = {name: _array(entry, body) for name, entry in table.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptArtifact(
            f"not a readable safetensors file ({len(data)} bytes): {error}; delete it and render again"
        ) from error
    bf16 = sorted(name for name, entry in table.items() if entry["dtype"] == "BF16")
    if bf16:
        meta[BF16_KEY] = ",".join(bf16)
    return Payload(arrays, meta)


def _array(entry: dict[str, Any], body: memoryview) -> np.ndarray:
    start, stop = entry["data_offsets"]
    if stop > len(body):
        raise ValueError("the data is cut off")
    return np.frombuffer(body[start:stop], dtype=_DTYPES[entry["dtype"]]).reshape(entry["shape"])


def to_torch(payload: Payload, name: str) -> torch.Tensor:
    """A private tensor of one array, bfloat16 restored. Always a copy: the array may be shared.

    The memory is torch's own, which is aligned the same way every time: kernels sum in an order that depends
    on it.
    """
    import torch

    array = payload.arrays[name]
    kind = torch.from_numpy(np.empty(0, array.dtype)).dtype
    tensor = torch.empty(array.shape, dtype=kind)
    tensor.numpy()[...] = array
    return tensor.view(torch.bfloat16) if name in payload.bf16_names else tensor


def from_torch(tensors: dict[str, torch.Tensor], meta: dict[str, str] | None = None) -> Payload:
    """Contiguous host arrays of tensors: a view would drag its whole storage along when pickled."""
    import torch

    arrays: dict[str, np.ndarray] = {}
    bf16: list[str] = []
    for name, tensor in tensors.items():
        host = tensor.detach().to("cpu").contiguous().clone()
        if host.dtype == torch.bfloat16:
            host = host.view(torch.uint16)
            bf16.append(name)
        arrays[name] = host.numpy()
    notes = {BF16_KEY: ",".join(sorted(bf16))} if bf16 else {}
    return Payload(arrays, {**(meta or {}), **notes})
