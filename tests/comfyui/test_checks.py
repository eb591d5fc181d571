"""The thirteen checks, run on every supported core."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_kit import EXTEND, FRAMES, GENERATE, HEIGHT, WIDTH, Kit, prompt, stg_guider

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]
LATENTS = (FRAMES - 1) // 8 + 1
SHAPE = (1, 128, LATENTS, HEIGHT // 32, WIDTH // 32)


def test_01_text_to_video(generate: Run) -> None:
    import torch

    latent, images, _ = generate()
    assert latent["samples"].shape == SHAPE
    assert torch.isfinite(latent["samples"]).all()
    assert torch.equal(images, torch.zeros_like(images))
    assert images.shape[0] == 1
    again, *_ = generate()
    assert torch.equal(latent["samples"], again["samples"])
    other, *_ = generate(seed=99)
    assert not torch.equal(latent["samples"], other["samples"])


def test_02_first_image(generate: Run, image: Any, model_calls: list[dict[str, Any]]) -> None:
    import torch

    plain, *_ = generate()
    model_calls.clear()
    guided, *_ = generate(first_image=image, first_strength=0.8, image_strength=0.5)
    assert guided["samples"].shape == SHAPE
    assert not torch.equal(plain["samples"], guided["samples"])
    call = model_calls[0]
    assert call["x"].shape[2] == LATENTS + 1
    assert call["keyframe_idxs"].shape[2] == (HEIGHT // 32) * (WIDTH // 32)
    assert float(call["keyframe_idxs"][:, 0].min()) == 0.0
    # The guide's denoise mask is 1 - 0.8 * 0.5 on every core.
    assert call["denoise_mask"][0, 0, -1, 0, 0] == pytest.approx(0.6)
    assert call["denoise_mask"][0, 0, :LATENTS].min() == 1.0


def test_03_first_and_last_image(generate: Run, image: Any, model_calls: list[dict[str, Any]]) -> None:
    first, *_ = generate(first_image=image)
    model_calls.clear()
    both, *_ = generate(first_image=image, middle_image=image.flip(1), last_image=image.flip(2))
    assert both["samples"].shape == SHAPE
    assert not (first["samples"] == both["samples"]).all()
    call = model_calls[0]
    assert call["x"].shape[2] == LATENTS + 3
    starts = call["keyframe_idxs"][0, 0].reshape(3, -1, *call["keyframe_idxs"].shape[3:])
    assert [float(guide.min()) for guide in starts] == [0.0, 8.0, FRAMES - 1]


def test_04_lora_applied_outside(generate: Run, ltxv: Kit, folder: Path) -> None:
    import comfy.sd
    import comfy.utils
    import torch
    from comfyui_checkpoints import write_lora

    weights = comfy.utils.load_torch_file(str(write_lora(folder / "lora.safetensors")), safe_load=True)
    with_lora, _ = comfy.sd.load_lora_for_models(ltxv.model, None, weights, 1.0, 0.0)
    plain, *_ = generate()
    changed, *_ = generate(model=with_lora)
    restored, *_ = generate()
    assert not torch.allclose(plain["samples"], changed["samples"], atol=1e-3)
    assert torch.equal(plain["samples"], restored["samples"])


def test_05_external_guider(generate: Run, ltxv: Kit, image: Any, model_calls: list[dict[str, Any]]) -> None:
    import torch

    guider = stg_guider(ltxv.model, positive=prompt(7, 64), negative=ltxv.negative)
    own_words = guider.original_conds["positive"][0]["cross_attn"]
    latent, *_ = generate(guider=guider, first_image=image, ffn_chunks=4)
    assert latent["samples"].shape == SHAPE
    assert len(model_calls) == 3 * GENERATE["steps"]
    assert all(call.get("keyframe_idxs") is not None for call in model_calls)
    assert all(call["frame_rate"] == GENERATE["frame_rate"] for call in model_calls)
    plain, *_ = generate(first_image=image)
    assert not torch.equal(latent["samples"], plain["samples"])
    # The user's guider itself is untouched and can be used again.
    assert guider.original_conds["positive"][0]["cross_attn"] is own_words
    assert "keyframe_idxs" not in guider.original_conds["positive"][0]
    assert guider.model_patcher is ltxv.model


def test_06_external_sampler_and_sigmas(generate: Run, core: Any, model_calls: list[dict[str, Any]]) -> None:
    import torch

    sampler = core.call("KSamplerSelect", sampler_name="dpmpp_2m")[0]
    default, *_ = generate()
    sampled, *_ = generate(sampler=sampler)
    assert not torch.equal(default["samples"], sampled["samples"])
    model_calls.clear()
    sigmas = torch.tensor([1.0, 0.8, 0.6, 0.3, 0.0])
    latent, *_ = generate(sampler=sampler, sigmas=sigmas, max_shift=9.0, steps=1)
    seen = [float(call["timestep"].flatten()[0]) for call in model_calls]
    assert seen[::2] == pytest.approx([1.0, 0.8, 0.6, 0.3])
    assert latent["samples"].shape == SHAPE


def test_07_sage_attention(
    generate: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import torch
    from comfy.ldm.modules import attention

    default, *_ = generate(attention_mode="default")
    calls: list[int] = []

    def counted(q: Any, k: Any, v: Any, *, tensor_layout: str = "HND", **_: Any) -> Any:
        calls.append(q.shape[1] if tensor_layout == "NHD" else q.shape[2])
        turned = (t.transpose(1, 2) if tensor_layout == "NHD" else t for t in (q, k, v))
        out = torch.nn.functional.scaled_dot_product_attention(*turned)
        return out.transpose(1, 2) if tensor_layout == "NHD" else out

    with monkeypatch.context() as patch:
        patch.setattr(attention, "SAGE_ATTENTION_IS_AVAILABLE", True)
        patch.setattr(attention, "sageattn", counted, raising=False)
        sage, *_ = generate(attention_mode="sage")
    tokens = LATENTS * (HEIGHT // 32) * (WIDTH // 32)
    # Three blocks, two conditionings, every step; cross-attention has a text mask and keeps its kernel.
    assert calls.count(tokens) == 3 * 2 * GENERATE["steps"]
    assert torch.allclose(default["samples"], sage["samples"], atol=1e-3)

    with caplog.at_level(logging.WARNING):
        fallen, *_ = generate(attention_mode="sage")
        generate(attention_mode="sage")
    assert torch.equal(default["samples"], fallen["samples"])
    assert len([record for record in caplog.records if "SageAttention cannot run" in record.message]) == 1


def test_08_ffn_chunks(generate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from actors.engines.comfyui.sampling import patches

    pieces: list[int] = []
    chunked = patches.chunked

    def counting(feed_forward: Any, chunks: int) -> Any:
        forward = chunked(feed_forward, chunks)

        def counted(x: Any) -> Any:
            pieces.append(len(x.chunk(chunks, dim=1)))
            return forward(x)

        return counted

    plain, *_ = generate()
    one, *_ = generate(ffn_chunks=1)
    monkeypatch.setattr(patches, "chunked", counting)
    chunks, *_ = generate(ffn_chunks=8)
    assert pieces == [8] * (3 * 2 * GENERATE["steps"])
    assert torch.equal(plain["samples"], one["samples"])
    assert torch.allclose(plain["samples"], chunks["samples"], atol=1e-4)
    pieces.clear()
    after, *_ = generate()
    assert pieces == []
    assert torch.equal(plain["samples"], after["samples"])


def test_09_upscale(generate: Run, needs: Run, request: pytest.FixtureRequest) -> None:
    import torch

    needs("upscale")
    model = request.getfixturevalue("upscale_model")
    latent, *_ = generate(upscale=True, upscale_model=model, upscale_steps=2)
    assert latent["samples"].shape == (1, 128, LATENTS, HEIGHT // 16, WIDTH // 16)
    only_model, *_ = generate(upscale=True, upscale_model=model, upscale_denoise=0.0)
    assert only_model["samples"].shape == latent["samples"].shape
    assert not torch.equal(latent["samples"], only_model["samples"])


def test_10_decode(generate: Run) -> None:
    _, images, _ = generate(decode=True)
    assert images.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert images.min() >= 0.0
    assert images.max() <= 1.0
    assert images.std() > 0.01


def test_11_audio(
    needs: Run, request: pytest.FixtureRequest, soundtrack: Any, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    from farm.nodes import NODE_CLASS_MAPPINGS

    needs("audio")
    needs("ltx-2")
    from comfy.ldm.lightricks.av_model import LTXAVModel

    seen: list[list[Any]] = []
    forward = LTXAVModel.forward

    def watched(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(list(x))
        return forward(self, x, *args, **kwargs)

    monkeypatch.setattr(LTXAVModel, "forward", watched)
    kit, audio_vae = request.getfixturevalue("ltxav")
    nodes: dict[str, Any] = {name: kind() for name, kind in NODE_CLASS_MAPPINGS.items()}
    heard = {"audio": soundtrack, "audio_vae": audio_vae}
    silent, *_ = nodes["RSLTXVGenerate"].generate(**kit.inputs, **GENERATE)
    latent, *_ = nodes["RSLTXVGenerate"].generate(**kit.inputs, **GENERATE, **heard, first_image=image)
    # Both modalities went through the model, the sound as it was given: it is heard, not denoised.
    video, sound = seen[-1]
    assert video.shape[2] == LATENTS + 1
    assert sound.shape[:2] == (1, 8)
    assert sound.shape[2] > 0
    assert torch.allclose(sound, seen[-3][1], atol=1e-5)
    other = {**soundtrack, "waveform": soundtrack["waveform"].flip(2)}
    changed, *_ = nodes["RSLTXVGenerate"].generate(
        **kit.inputs, **GENERATE, **{**heard, "audio": other}, first_image=image
    )
    assert silent["samples"].shape == latent["samples"].shape == SHAPE
    assert not torch.equal(latent["samples"], changed["samples"])
    longer, *_ = nodes["RSLTXVExtend"].extend(**kit.inputs, **EXTEND, **heard, latent=latent)
    assert longer["samples"].shape[2] == LATENTS + 2


def test_12_extend(generate: Run, extend: Run, image: Any, model_calls: list[dict[str, Any]]) -> None:
    import torch

    chain = generate()[0]["samples"]
    model_calls.clear()
    longer = extend({"samples": chain}, last_image=image)[0]["samples"]
    overlap, new = 2, 2
    assert longer.shape[2] == LATENTS + new
    # Everything before the blended latents is the chain itself, bit for bit.
    assert torch.equal(longer[:, :, : LATENTS - 1], chain[:, :, : LATENTS - 1])
    call = model_calls[0]
    assert call["x"].shape[2] == (overlap + new) + overlap + 1
    guide = call["x"][:, :, overlap + new : -1]
    assert torch.equal(guide, chain[:, :, -overlap:].to(guide))
    assert float(call["keyframe_idxs"][0, 0].min()) == 0.0
    assert call["denoise_mask"][0, 0, overlap + new : -1].max() == 0.0
    third = extend({"samples": longer}, seed=13)[0]["samples"]
    assert third.shape[2] == LATENTS + 2 * new
    butt = extend({"samples": chain}, overlap_frames=8)[0]["samples"]
    assert torch.equal(butt[:, :, :LATENTS], chain)


def test_13_full_pipeline_frees_vram(
    needs: Run, request: pytest.FixtureRequest, image: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import comfy.model_management

    from actors.engines.comfyui.core.vram import free_vram
    from farm.nodes import flow

    needs("upscale")
    loaded: list[tuple[int, int]] = []
    free = free_vram

    def watched() -> None:
        before = len(comfy.model_management.current_loaded_models)
        free()
        loaded.append((before, len(comfy.model_management.current_loaded_models)))

    monkeypatch.setattr(flow, "free_vram", watched)
    run: Run = request.getfixturevalue("generate")
    model = request.getfixturevalue("upscale_model")
    latent, images, _ = run(
        first_image=image, upscale=True, upscale_model=model, upscale_steps=2, decode=True, ffn_chunks=2
    )
    assert latent["samples"].shape[3:] == (HEIGHT // 16, WIDTH // 16)
    assert images.shape == (FRAMES, 2 * HEIGHT, 2 * WIDTH, 3)
    # After generation, after the re-sampling, after the decode.
    assert [after for _, after in loaded] == [0, 0, 0]
    assert all(before > 0 for before, _ in loaded)
