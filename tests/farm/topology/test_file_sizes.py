"""What the parts of a model file take on a device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from farm.topology.file_sizes import Size, parts_in


@pytest.mark.parametrize(("kind", "nbytes"), [("F32", 4), ("F16", 2), ("BF16", 2), ("Q8_0", 34 / 32)])
def test_a_gguf_counts_whatever_its_numbers_are(kind: str, nbytes: float, tmp_path: Path) -> None:
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
    values = 2 * 64 * 256
    found = parts_in(tmp_path / "m.gguf", "diffusion_model")
    assert found == {"transformer": Size(values, int(nbytes * values))}
