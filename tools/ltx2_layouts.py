"""Writes down which tensors the published LTX-2 files hold: names and shapes at full width, and of narrow
files like them, from Lightricks' own modules on the meta device. Run once; the result is committed, and
read by the tests.

    pip install --no-deps ltx-core==1.0.0 && pip install einops torchaudio transformers
    python -m tools.ltx2_layouts
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "tests" / "official" / "ltx2_layouts.json"
LAYER = "transformer_blocks."


def main() -> None:
    sys.path.append(str(ROOT / "tests" / "reference" / "sides"))
    layouts = {
        version: {width: _compact(_tensors(version, width)) for width in ("full", "narrow")}
        for version in ("2.0", "2.3")
    }
    TARGET.write_text(json.dumps(layouts, separators=(",", ":")) + "\n")
    print(f"{TARGET}: {TARGET.stat().st_size} bytes")


def _tensors(version: str, width: str) -> dict[str, list[int]]:
    from ltx_core_files import key_of, modules

    with torch.device("meta"):
        parts = modules(version, width)
    return {
        key_of(part, name): list(tensor.shape)
        for part, module in parts.items()
        for name, tensor in module.state_dict().items()
    }


def _compact(tensors: dict[str, list[int]]) -> dict[str, object]:
    """All blocks of the transformer are alike: one of them, and how many there are."""
    prefix = f"model.diffusion_model.{LAYER}"
    block = {key: shape for key, shape in tensors.items() if key.startswith(f"{prefix}0.")}
    outside = {key: shape for key, shape in tensors.items() if not key.startswith(prefix)}
    layers = (len(tensors) - len(outside)) // len(block)
    return {
        "layers": layers,
        "block": {key.removeprefix(f"{prefix}0."): shape for key, shape in block.items()},
        "tensors": outside,
    }


if __name__ == "__main__":
    main()
