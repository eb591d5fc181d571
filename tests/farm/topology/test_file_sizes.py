"""What the parts of a model file take on a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.topology.file_sizes import GIB, transformer_gib


@pytest.mark.parametrize(("kind", "per_value"), [("F32", 4), ("F16", 2), ("BF16", 2), ("Q8_0", 2)])
def test_a_gguf_counts_whatever_its_numbers_are(kind: str, per_value: int, tmp_path: Path) -> None:
    """Quantised ones have 16 bits once they are loaded."""
    gguf = pytest.importorskip("gguf")
    number = gguf.GGMLQuantizationType[kind]
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "ltxv")
    for name in ("to_q", "to_k"):
        made = gguf.quants.quantize(np.ones((64, 256), np.float32), number)
        writer.add_tensor(f"transformer_blocks.0.attn1.{name}.weight", made, raw_dtype=number)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert transformer_gib(tmp_path / "m.gguf", unpacked=True) * GIB == 2 * 64 * 256 * per_value
