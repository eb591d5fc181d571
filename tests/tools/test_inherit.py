"""What the transformer takes over from a tiny LTX-Video model."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.official.ltx_video_files import CONFIG, write_small
from tools.train_tiny.modules import TEXT_DIM, new_transformer, text_config
from tools.train_tiny.training import stored
from tools.train_tiny.transformer import inherit


@pytest.fixture(scope="module")
def ltx_video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LTX-Video model of the size of the one that the first weights came from."""
    sizes = {"num_layers": 8, "num_attention_heads": 8, "attention_head_dim": 32, "cross_attention_dim": 256}
    transformer = {**CONFIG["transformer"], **sizes, "caption_channels": TEXT_DIM}
    config = {**CONFIG, "transformer": transformer, "text_encoder": text_config()}
    return write_small(tmp_path_factory.mktemp("ltx-video") / "model.safetensors", config)


def test_what_is_inherited_fills_the_transformer(
    ltx_video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inherit, "SENTENCES", 60)
    inherit.inherit(ltx_video, tmp_path)
    state = stored(tmp_path, "transformer")
    new_transformer().load_state_dict(state)
    assert state["transformer_blocks.0.scale_shift_table"][8].eq(1).all()
    assert state["transformer_blocks.0.attn1.to_q.weight"].norm() > 1


def test_reordered_channels_are_those_that_turn_together() -> None:
    order = inherit._halves_first()
    assert order[:3].tolist() == [0, 2, 4]
    assert order[16:19].tolist() == [1, 3, 5]
    assert sorted(order.tolist()) == list(range(256))
