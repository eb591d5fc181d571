from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from actors.engines.diffusers.ltx_video.text import T5Prompts
from benchmarks.gpu.text.encoders import ENCODERS
from benchmarks.gpu.text.files import write_encoder
from jobs.errors import SpecError


def test_pickled_weights_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    (tmp_path / "text_encoder").mkdir()
    (tmp_path / "text_encoder" / "pytorch_model.bin").touch()
    with pytest.raises(SpecError, match="pickled files can run code"):
        T5Prompts.load(tmp_path, torch.float32)


def test_code_of_a_tokenizer_is_not_run(tmp_path: Path) -> None:
    write_encoder(tmp_path, ENCODERS["2b"], False, "cpu")
    folder = tmp_path / "tokenizer"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "own.py").write_text(f"open({str(tmp_path / 'canary')!r}, 'w').close()\nclass Own: ...\n")
    config = {"auto_map": {"AutoTokenizer": ["own.Own", None]}, "tokenizer_class": "Own"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises((ValueError, OSError)):
        T5Prompts.load(tmp_path, torch.float32)
    assert not (tmp_path / "canary").exists()
