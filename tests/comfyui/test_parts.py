"""The shared functions one by one, against the real core."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from comfyui_kit import GENERATE, HEIGHT, WIDTH, Kit

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]


def test_nodes_are_found_inside_a_running_event_loop(core: Any) -> None:
    """ComfyUI's prompt worker runs nodes in one; looking up a node must not start another there."""
    from actors.engines.comfyui.core import nodes as lookup

    async def look() -> bool:
        lookup._extras.clear()
        return lookup.Core(core.version).has("LTXVAddGuide")

    assert asyncio.run(look())


def test_a_missing_node_says_which_versions_have_it(core: Any) -> None:
    from actors.engines.comfyui.core.requirements import missing_api
    from jobs.errors import MissingCoreApi

    with pytest.raises(MissingCoreApi, match=rf"ComfyUI {core.version} has no NoSuchNode: update"):
        core.node("NoSuchNode")
    told = str(missing_api("LTXVLatentUpsampler", "0.3.64"))
    assert told == (
        "ComfyUI 0.3.64 has no LTXVLatentUpsampler; versions 0.8.0 and later have it: "
        "update ComfyUI, or leave `upscale` off."
    )


def test_missing_features_are_refused_before_anything_runs(
    core: Any, generate: Run, soundtrack: Any, model_calls: list[Any]
) -> None:
    from jobs.errors import InvalidInput, MissingCoreApi

    has_audio = core.has("LTXVConcatAVLatent")
    with pytest.raises(InvalidInput if has_audio else MissingCoreApi):
        generate(audio=soundtrack)
    with pytest.raises(InvalidInput if core.has("LTXVLatentUpsampler") else MissingCoreApi):
        generate(upscale=True)
    assert model_calls == []


@pytest.mark.parametrize("api", ["LTXVAddGuide", "comfy_extras.nodes_lt.LTXVAddGuide.append_keyframe"])
def test_guides_are_refused_before_anything_runs(
    api: str, generate: Run, extend: Run, image: Any, model_calls: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes and functions alike; a clip from text alone does not need them."""
    from actors.engines.comfyui.core import nodes as lookup
    from jobs.errors import MissingCoreApi

    chain = generate(steps=1)[0]
    model_calls.clear()
    node, function = lookup._lookup, lookup.function_named
    monkeypatch.setattr(lookup, "_lookup", lambda name: None if name == api else node(name))
    monkeypatch.setattr(lookup, "function_named", lambda name: None if name == api else function(name))
    with pytest.raises(
        MissingCoreApi, match=rf"guides: it has no {api}; versions from 0\.3\.64 on were tested"
    ):
        extend(chain)
    with pytest.raises(MissingCoreApi, match=api):
        generate(last_image=image)
    assert model_calls == []
    generate(steps=1)


@pytest.mark.parametrize("crf", [0, 35])
def test_a_guide_image_may_be_transparent(core: Any, ltxv: Kit, image: Any, crf: int) -> None:
    import torch

    from actors.engines.comfyui.sampling.guides import encode_image

    alpha = torch.rand_like(image[..., :1])
    clear = encode_image(core, ltxv.vae, torch.cat([image, alpha], dim=-1), (WIDTH, HEIGHT), crf)
    assert torch.equal(clear, encode_image(core, ltxv.vae, image, (WIDTH, HEIGHT), crf))


@pytest.mark.parametrize("wrong", [{"num_frames": 16}, {"width": 100}, {"height": 33}])
def test_sizes_that_do_not_fit_are_refused(generate: Run, wrong: dict[str, int]) -> None:
    from jobs.errors import InvalidInput

    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        generate(**wrong)


def test_a_clip_without_a_frame_rate_is_refused(generate: Run, extend: Run, model_calls: list[Any]) -> None:
    import torch

    from jobs.errors import InvalidInput

    with pytest.raises(InvalidInput, match=r"frame_rate is 0\.0: use"):
        generate(frame_rate=0.0)
    with pytest.raises(InvalidInput, match=r"frame_rate is 0\.0: use"):
        extend({"samples": torch.zeros(1, 128, 3, 3, 4)}, frame_rate=0.0)
    assert model_calls == []


def test_extend_refuses_what_cannot_be_extended(extend: Run) -> None:
    import torch

    from jobs.errors import InvalidInput

    with pytest.raises(InvalidInput, match="overlap_frames 24"):
        extend({"samples": torch.zeros(1, 128, 2, 3, 4)}, overlap_frames=24)
    with pytest.raises(InvalidInput, match="num_new_frames is 12"):
        extend({"samples": torch.zeros(1, 128, 2, 3, 4)}, num_new_frames=12)
    with pytest.raises(InvalidInput, match="video latent"):
        extend({"samples": torch.zeros(1, 4, 8, 8)})
    with pytest.raises(InvalidInput, match="one LTX video latent"):
        extend({"samples": torch.zeros(2, 128, 3, 3, 4)})


@pytest.mark.usefixtures("ltxv")
def test_a_failing_prompt_frees_the_device(generate: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_management

    def broken(*_: Any, **__: Any) -> Any:
        assert comfy.model_management.current_loaded_models
        raise RuntimeError("the decode broke")

    monkeypatch.setattr("farm.nodes.flow.decode_images", broken)
    monkeypatch.setattr("farm.nodes.flow.free_vram", lambda: None)
    with pytest.raises(RuntimeError, match="the decode broke"):
        generate(decode=True)
    assert comfy.model_management.current_loaded_models == []


def test_the_users_model_is_left_alone(generate: Run, ltxv: Kit) -> None:
    before = dict(ltxv.model.model_options["transformer_options"])
    generate(attention_mode="sage", ffn_chunks=4)
    assert ltxv.model.model_options["transformer_options"] == before
    assert "sampler_calc_cond_batch_function" not in ltxv.model.model_options
    assert ltxv.model.object_patches == {}


def test_an_override_the_user_brought_stays_under_auto(generate: Run, ltxv: Kit) -> None:
    calls: list[int] = []

    def counted(func: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        return func(*args, **kwargs)

    model = ltxv.model.clone()
    model.model_options["transformer_options"]["optimized_attention_override"] = counted
    generate(model=model, attention_mode="auto")
    assert len(calls) == 2 * 3 * 2 * GENERATE["steps"]


def test_conditionings_are_never_batched(generate: Run, model_calls: list[dict[str, Any]]) -> None:
    generate()
    assert [call["x"].shape[0] for call in model_calls] == [1] * (2 * GENERATE["steps"])


def test_cfg_one_asks_the_model_once_a_step(generate: Run, model_calls: list[dict[str, Any]]) -> None:
    import torch

    latent = generate(cfg=1.0)[0]["samples"]
    assert len(model_calls) == GENERATE["steps"]
    assert torch.isfinite(latent).all()


def test_a_long_chain_is_resampled_in_windows(
    needs: Run,
    request: pytest.FixtureRequest,
    generate: Run,
    extend: Run,
    model_calls: list[dict[str, Any]],
) -> None:
    """Each guided by the 2x latents before it: one long clip would outgrow device and training."""
    import torch

    needs("upscale")
    upscale = {
        "upscale": True,
        "upscale_model": request.getfixturevalue("upscale_model"),
        "upscale_steps": 1,
        "upscale_cfg": 1.0,
    }
    chain = generate(num_frames=97, width=64, height=64, steps=1)[0]
    model_calls.clear()
    big = extend(chain, num_new_frames=80, steps=1, cfg=1.0, **upscale)[0]["samples"]
    assert big.shape == (1, 128, 23, 4, 4)
    assert [call["x"].shape[2:] for call in model_calls] == [(14, 2, 2), (13, 4, 4), (13, 4, 4)]
    first, second = model_calls[1:]
    assert first.get("keyframe_idxs") is None
    guide = second["x"][:, :, -1:]
    assert torch.equal(guide[:, :, 0], big[:, :, 11].to(guide))
    assert second["denoise_mask"][0, 0, -1:].max() == 0.0
    assert torch.isfinite(big).all()
    model_calls.clear()
    generate(num_frames=97, width=64, height=64, steps=1, cfg=1.0, **upscale)
    assert [call["x"].shape[2:] for call in model_calls] == [(13, 2, 2), (13, 4, 4)]


def test_a_single_step_is_finite(generate: Run) -> None:
    import torch

    assert torch.isfinite(generate(steps=1)[0]["samples"]).all()


@pytest.mark.usefixtures("core")
def test_images_are_cropped_not_stretched() -> None:
    import torch

    from actors.engines.comfyui.sampling.guides import fit

    wide = torch.zeros(1, 96, 384, 3)
    wide[:, :, 128:256] = 1.0
    assert fit(wide, (128, 96)).min() > 0.9


def test_guide_strength_reaches_the_attention_where_the_core_supports_it(
    core: Any, generate: Run, extend: Run, image: Any, model_calls: list[dict[str, Any]]
) -> None:
    import sys

    node = core.node("LTXVAddGuide")
    chain = generate(first_image=image, first_strength=0.5)[0]
    entries = [call.get("guide_attention_entries") for call in model_calls]
    if not hasattr(sys.modules[node.__module__], "_append_guide_attention_entry"):
        assert not any(entries)
        return
    assert [entry["strength"] for entry in entries[0] or ()] == [0.5]
    model_calls.clear()
    extend(chain, overlap_strength=0.7, last_image=image, last_strength=0.6)
    seen = model_calls[0]["guide_attention_entries"]
    assert [entry["strength"] for entry in seen] == [0.7, 0.6]
    per_frame = (HEIGHT // 32) * (WIDTH // 32)
    assert [entry["pre_filter_count"] for entry in seen] == [2 * per_frame, per_frame]


def test_the_probe_lists_what_is_missing(core: Any) -> None:
    import os
    from pathlib import Path

    from actors.engines.comfyui.core.probe import inspect_core

    report = inspect_core(Path(os.environ["COMFYUI_PATH"]))
    assert report.version == core.version
    assert report.usable
    lacks_upscale = not core.has("LTXVLatentUpsampler")
    assert bool(report.missing["upscale"]) == lacks_upscale
    assert any("LTXVLatentUpsampler" in line for line in report.lines()) == lacks_upscale
