"""`auto`: measured once per device and shape class, told in the log, remembered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from comfyui_kit import FRAMES, HEIGHT, WIDTH, Kit

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]


@pytest.fixture
def attention(core: Any, monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ARG001  for its effect
    """The module as in a fresh process."""
    from actors.engines.comfyui.sampling import attention

    monkeypatch.setattr(attention, "_choices", {})
    monkeypatch.setattr(attention, "_warned", set())
    return attention


@pytest.fixture
def kernels(attention: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:  # noqa: ARG001  for its effect
    """Puts stand-ins for core's two kernels that take `default_s` and `sage_s`."""
    from comfy.ldm.modules import attention as cores

    def kernel(seconds: float, scale: float) -> Callable[..., Any]:
        def run(q: Any, _k: Any, _v: Any, _heads: int) -> Any:
            time.sleep(seconds)
            return q * scale

        return run

    def put(default_s: float, sage_s: float, error: float = 0.0) -> None:
        monkeypatch.setattr(cores, "optimized_attention", kernel(default_s, 1.0))
        monkeypatch.setattr(cores, "attention_sage", kernel(sage_s, 1.0 + error))

    return put


def shape_of(attention: Any, device: str = "cpu", tokens: int = 64) -> Any:
    return attention.ShapeClass(device, "float32", 2, 8, tokens)


def test_the_faster_kernel_within_the_tolerance_wins(attention: Any, kernels: Run) -> None:
    kernels(default_s=0.004, sage_s=0.001, error=0.01)
    chosen = attention._measure(shape_of(attention))
    assert chosen.kernel == "sage"
    assert "default" in chosen.reason
    assert "ms" in chosen.reason
    kernels(default_s=0.004, sage_s=0.001, error=0.05)
    assert attention._measure(shape_of(attention)).kernel == "default"
    kernels(default_s=0.02, sage_s=0.02)
    assert attention._measure(shape_of(attention)).kernel == "default"


@pytest.mark.usefixtures("kernels")
def test_each_device_and_shape_class_is_measured_once_and_told(
    attention: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    measured: list[Any] = []

    def measure(shape: Any) -> Any:
        measured.append(shape)
        return attention.AttentionChoice("sage", "default 2.00 ms, sage 1.00 ms")

    monkeypatch.setattr(attention, "sage_fault", lambda _: "")
    monkeypatch.setattr(attention, "_measure", measure)
    shapes = [shape_of(attention, device, tokens) for device in ("cuda:0", "cuda:1") for tokens in (64, 128)]
    with caplog.at_level(logging.INFO, logger="ltx-farm"):
        for shape in (*shapes, *shapes):
            assert attention.choice(shape).kernel == "sage"
    assert measured == shapes
    told = [record.message for record in caplog.records if "attention auto" in record.message]
    assert len(told) == len(shapes)
    assert all("sage" in line and "default 2.00 ms" in line for line in told)


def test_a_kernel_that_fails_at_the_real_size_is_not_taken(
    attention: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def fails(_shape: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(attention, "sage_fault", lambda _: "")
    monkeypatch.setattr(attention, "_measure", fails)
    chosen = attention.choice(shape_of(attention, "cuda"))
    assert chosen.kernel == "default"
    assert "out of memory" in chosen.reason


def test_clips_of_about_one_size_share_a_class(attention: Any, ltxv: Kit) -> None:
    shape = attention.ShapeClass.of(ltxv.model, 100)
    assert (shape.device, shape.heads, shape.head_dim, shape.tokens) == ("cpu", 4, 32, 128)
    assert attention.ShapeClass.of(ltxv.model, 128) == shape
    assert attention.ShapeClass.of(ltxv.model, 129).tokens == 256


def test_weights_in_eight_bits_are_measured_in_the_type_they_are_cast_to(attention: Any) -> None:
    import torch

    block = SimpleNamespace(attn1=SimpleNamespace(heads=2, dim_head=8))
    inner = SimpleNamespace(
        diffusion_model=SimpleNamespace(transformer_blocks=[block]),
        manual_cast_dtype=torch.bfloat16,
        get_dtype=lambda: torch.float8_e4m3fn,
    )
    model = SimpleNamespace(model=inner, load_device="cuda")
    assert attention.ShapeClass.of(model, 64).dtype == "bfloat16"


def test_auto_reaches_the_model(attention: Any, generate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` chose is what the clip is sampled with; the tokens of the guides count."""
    from comfy.ldm.modules import attention as cores

    seen: list[Any] = []
    calls: list[int] = []

    def choice(shape: Any) -> Any:
        seen.append(shape)
        return attention.AttentionChoice("sage", "")

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return cores.attention_pytorch(*args, **kwargs)

    monkeypatch.setattr(attention, "choice", choice)
    monkeypatch.setattr(cores, "attention_sage", counted)
    generate(attention_mode="auto", steps=1)
    tokens = ((FRAMES - 1) // 8 + 1) * (WIDTH // 32) * (HEIGHT // 32)
    assert seen[0].tokens == 1 << (tokens - 1).bit_length()
    assert calls


def test_a_job_takes_sage_only_where_it_wins_at_every_size(
    attention: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "model.safetensors"
    query = {"model.diffusion_model.transformer_blocks.0.attn1.to_q.weight": torch.zeros(64, 64)}
    save_file(query, path, {"config": json.dumps({"transformer": {"num_attention_heads": 4}})})
    wins = {"sizes": attention.TYPICAL_TOKENS}
    seen: list[Any] = []

    def choice(shape: Any) -> Any:
        seen.append(shape)
        return attention.AttentionChoice("sage" if shape.tokens in wins["sizes"] else "default", "")

    monkeypatch.setattr(attention, "choice", choice)
    assert attention.job_kernel(path, "cpu") == "default"
    assert seen == []
    assert attention.job_kernel(path, "cuda") == "sage"
    assert {(shape.heads, shape.head_dim, shape.dtype) for shape in seen} == {(4, 16, "bfloat16")}
    attention.job_kernel(path, "cuda", "float16")
    assert seen[-1].dtype == "float16"
    wins["sizes"] = attention.TYPICAL_TOKENS[:1]
    assert attention.job_kernel(path, "cuda") == "default"
    (tmp_path / "old.ckpt").write_bytes(b"a pickle")
    assert attention.job_kernel(tmp_path / "old.ckpt", "cuda") == "default"
