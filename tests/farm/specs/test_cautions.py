"""Prompts that the model's text encoder does not read to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers

from farm.specs.cautions import cautions
from jobs.planning.plan import make_plan
from jobs.spec.job import JobSpec


@pytest.fixture
def encoder(tmp_path: Path) -> Path:
    """A folder whose tokenizer makes one token of every word."""
    words = {"<unk>": 0, "fog": 1, "boat": 2, "bell": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    (tmp_path / "tokenizer").mkdir()
    tokenizer.save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    return tmp_path


def warned(engine: dict[str, Any], prompt: str) -> list[str]:
    chunks = [{"generate": {"prompt": "fog"}}, {"extend": {"prompt": prompt, "repeat": 3}}]
    document = {"name": "harbor", "engine": engine, "videos": [{"name": "dawn", "chunks": chunks}]}
    plan = make_plan(JobSpec.model_validate(document))
    return [line for line in cautions(plan) if "tiny model" not in line]


def test_the_place_where_a_prompt_is_cut_is_told(encoder: Path) -> None:
    """255 tokens and the end are read; of equal chunks the first is named."""
    engine = {"checkpoint": "model.safetensors", "text_encoder": str(encoder)}
    (line,) = warned(engine, " ".join(["fog"] * 255 + ["bell", "boat"]))
    assert line.startswith("videos[0].chunks[1].extend.prompt: ")
    assert "reads 256 tokens and this has 258" in line
    assert 'begins with "bell boat" is not read' in line


def test_a_prompt_that_just_fits_is_not(encoder: Path) -> None:
    engine = {"checkpoint": "model.safetensors", "text_encoder": str(encoder)}
    assert warned(engine, " ".join(["fog"] * 255)) == []


@pytest.mark.parametrize("name", ["comfyui", "fake"])
def test_other_engines_read_them_whole(name: str, encoder: Path) -> None:
    engine = {"name": name, "checkpoint": "model.safetensors", "text_encoder": str(encoder)}
    assert warned(engine, " ".join(["fog"] * 400)) == []


@pytest.mark.parametrize("encoder_name", ["owner/never-downloaded", "nowhere/at/all"])
def test_what_is_not_here_is_left_to_the_engine(encoder_name: str) -> None:
    engine = {"checkpoint": "model.safetensors", "text_encoder": encoder_name}
    assert warned(engine, " ".join(["fog"] * 400)) == []
