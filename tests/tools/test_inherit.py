"""What the transformer takes over from a tiny LTX-Video model."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors import safe_open

from actors.models import TINY_CHECKPOINT
from tools.train_tiny.modules import new_transformer
from tools.train_tiny.training import stored
from tools.train_tiny.transformer import inherit


def test_what_is_inherited_fills_the_transformer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inherit, "SENTENCES", 60)
    with safe_open(TINY_CHECKPOINT, framework="pt") as file:
        if "model.diffusion_model.audio_patchify_proj.weight" in file.keys():  # noqa: SIM118
            pytest.skip("the bundled model is no LTX-Video model")
    inherit.inherit(TINY_CHECKPOINT, tmp_path)
    state = stored(tmp_path, "transformer")
    new_transformer().load_state_dict(state)
    assert state["transformer_blocks.0.scale_shift_table"][8].eq(1).all()
    assert state["transformer_blocks.0.attn1.to_q.weight"].norm() > 1


def test_reordered_channels_are_those_that_turn_together() -> None:
    order = inherit._halves_first()
    assert order[:3].tolist() == [0, 2, 4]
    assert order[16:19].tolist() == [1, 3, 5]
    assert sorted(order.tolist()) == list(range(256))
