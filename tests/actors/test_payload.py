"""Payloads: equal bytes for equal content, readable by the safetensors package, bfloat16 kept."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.payload import Payload, from_torch, pack, to_torch, unpack
from jobs.errors import CorruptArtifact


def _mixed() -> Payload:
    rng = np.random.default_rng(3)
    return Payload(
        {
            "frames": rng.integers(0, 255, (3, 4, 5, 3), dtype=np.uint8),
            "latents": rng.normal(size=(1, 2, 3, 1, 2)).astype(np.float32),
            "mask": np.array([[True, False]]),
            "scalar": np.array(2.5, np.float32),
        },
        {"b": "2", "a": "1"},
    )


def test_round_trip() -> None:
    payload = _mixed()
    again = unpack(pack(payload))
    assert not any(array.flags.writeable for array in again.arrays.values())
    assert again.meta == payload.meta
    assert set(again.arrays) == set(payload.arrays)
    for name, array in payload.arrays.items():
        assert again[name].dtype == array.dtype
        np.testing.assert_array_equal(again[name], array)


def test_bytes_depend_on_content_alone() -> None:
    payload = _mixed()
    shuffled = Payload(dict(reversed(payload.arrays.items())), dict(reversed(payload.meta.items())))
    assert pack(shuffled) == pack(payload)
    assert pack(unpack(pack(payload))) == pack(payload)


def test_the_safetensors_package_reads_it() -> None:
    from safetensors.torch import load

    payload = from_torch({"x": torch.randn(3, 5, dtype=torch.bfloat16), "y": torch.arange(7)})
    loaded = load(bytes(pack(payload)))
    assert loaded["x"].dtype == torch.bfloat16
    assert torch.equal(loaded["x"], to_torch(payload, "x"))
    assert torch.equal(loaded["y"], torch.arange(7))


def test_it_reads_what_the_safetensors_package_wrote() -> None:
    from safetensors.torch import save

    tensor = torch.randn(2, 3).to(torch.bfloat16)
    payload = unpack(save({"latents": tensor}, {"who": "someone"}))
    assert payload.meta == {"who": "someone", "bf16": "latents"}
    assert torch.equal(to_torch(payload, "latents"), tensor)


def test_a_view_does_not_drag_its_storage_along() -> None:
    whole = torch.zeros(1000, 8)
    payload = from_torch({"tail": whole[-2:]})
    assert payload["tail"].base is None or payload["tail"].base.nbytes == 2 * 8 * 4


def test_to_torch_is_private() -> None:
    payload = unpack(pack(_mixed()))
    before = payload["latents"].copy()
    to_torch(payload, "latents").zero_()
    np.testing.assert_array_equal(payload["latents"], before)


@pytest.mark.parametrize("cut", [0, 4, 9, 60, -1])
def test_torn_bytes_are_corrupt(cut: int) -> None:
    with pytest.raises(CorruptArtifact):
        unpack(pack(_mixed())[:cut])


def test_garbage_is_corrupt() -> None:
    with pytest.raises(CorruptArtifact):
        unpack(b"\x10\0\0\0\0\0\0\0not json at all!")
