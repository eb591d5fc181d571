"""The engine makes what the nodes make, and behaves as the farm expects."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from comfyui_kit import FRAMES, HEIGHT, WIDTH, Kit, pass_params, sampled, sampling

if TYPE_CHECKING:
    from actors.payload import Payload

pytestmark = pytest.mark.comfyui

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def engine(ltxv: Kit) -> Any:  # noqa: ARG001  for its effect
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    config = EngineConfig(name="comfyui", checkpoint="ltxv.safetensors", text_encoder=None)
    engine = make_engine(config, "cpu", 1)
    engine.setup(frozenset({Stage.SAMPLE, Stage.DECODE}))
    return engine


def test_nodes_and_engine_give_the_same_bits(
    generate: Run, extend: Run, engine: Any, conditioning: Any
) -> None:
    import numpy as np

    from actors.steps.passes import run_pass
    from jobs.frames import ChunkSpan

    by_node = generate()[0]
    for seed in (12, 13):
        by_node = extend(by_node, seed=seed)[0]

    def step(params: Any, previous: list[Payload]) -> Any:
        return run_pass(params, {"conditioning": [conditioning], "previous": previous}, engine)

    first = step(pass_params(), [])
    second = step(pass_params(span=ChunkSpan(2, 2, 5), seed=12), [first])
    third = step(pass_params(span=ChunkSpan(2, 2, 7), seed=13), [second])
    chain = np.concatenate(
        [first["latents"][:, :, :1], second["latents"][:, :, :2], third["latents"]], axis=2
    )
    assert np.array_equal(chain, by_node["samples"].numpy())


@pytest.mark.usefixtures("ltxv")
def test_guide_images_and_decode_match_the_node(generate: Run, engine: Any, conditioning: Any) -> None:
    import numpy as np
    import torch

    from actors.engines.comfyui.decode import to_image, to_uint8
    from actors.steps.passes import run_pass
    from jobs.frames import DecodeWindow, Span
    from jobs.planning.params import DecodeParams, EncodeImage
    from jobs.planning.sampling import GuideUse

    pixels = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    node_latent, node_images, _ = generate(first_image=to_image(pixels[None]), crf=0, decode=True)
    guide = engine.encode_image(EncodeImage("x.png", WIDTH, HEIGHT, 0), pixels)
    assert guide["latents"].shape == (1, 128, 1, HEIGHT // 32, WIDTH // 32)
    params = pass_params(guides=(GuideUse(0, 1.0, 0.95),))
    made: Any = run_pass(params, {"conditioning": [conditioning], "guide": [guide]}, engine)
    assert np.array_equal(made["latents"], node_latent["samples"].numpy())

    window = DecodeWindow(Span(0, 3), Span(0, 3), Span(0, FRAMES))
    decode = DecodeParams(WIDTH, HEIGHT, (Span(0, 3),), window, 5, 25.0)
    torch.manual_seed(5)
    frames = engine.decode(decode, made)
    assert frames.dtype == np.uint8
    assert np.array_equal(frames, to_uint8(node_images))


def test_a_tone_map_counts_for_its_own_decode_alone(engine: Any) -> None:
    from dataclasses import replace

    import numpy as np

    from actors.payload import Payload
    from jobs.frames import DecodeWindow, Span
    from jobs.planning.params import DecodeParams

    latents = np.random.default_rng(2).standard_normal((1, 128, 3, HEIGHT // 32, WIDTH // 32))
    clip = Payload({"latents": (2 * latents).astype(np.float32)})
    window = DecodeWindow(Span(0, 3), Span(0, 3), Span(0, FRAMES))
    params = DecodeParams(WIDTH, HEIGHT, (Span(0, 3),), window, 5, 25.0)
    plain = engine.decode(params, clip)
    mapped = engine.decode(replace(params, tone_map=0.6, timestep=0.05, noise_scale=0.025), clip)
    assert not np.array_equal(mapped, plain)
    assert np.array_equal(engine.decode(params, clip), plain)


def test_tiled_decode_has_every_frame(engine: Any) -> None:
    import numpy as np

    from actors.payload import Payload
    from jobs.frames import DecodeWindow, Span
    from jobs.planning.params import DecodeParams, Tiles

    clip = np.random.default_rng(2).standard_normal((1, 128, 5, 2, 2)).astype(np.float32)
    window = DecodeWindow(Span(0, 5), Span(0, 5), Span(0, 33))
    params = DecodeParams(64, 64, (Span(0, 5),), window, 0, 25.0)
    whole = engine.decode(params, Payload({"latents": clip}))
    tiled = engine.decode(replace(params, tiling=Tiles(2, 5)), Payload({"latents": clip}))
    assert tiled.shape == whole.shape == (33, 64, 64, 3)
    # With as much context as the clip has, only rounding may differ.
    assert np.abs(tiled.astype(int) - whole.astype(int)).max() <= 1


def test_no_silent_tiles(engine: Any) -> None:
    from jobs.errors import OutOfMemory

    with pytest.raises(OutOfMemory, match="temporal tiles"):
        engine.loaded.vae.decode_tiled_3d(None)


def test_samplers_sigmas_and_guiders_by_name(engine: Any, conditioning: Any) -> None:
    import numpy as np

    from jobs.errors import InvalidInput
    from jobs.planning.sampling import PlannedGuider

    def made(**changes: Any) -> Any:
        return sampled(engine, conditioning, sampling=sampling(**changes))

    plain = made()
    stg = PlannedGuider("stg", (("blocks", (1,)), ("stg_scale", 2.0)))
    for changed in (made(sampler="euler_ancestral"), made(sigmas=(1.0, 0.5, 0.0)), made(guider=stg)):
        assert changed.shape == plain.shape
        assert not np.array_equal(changed, plain)
    assert {"euler", "euler_ancestral"} <= set(engine.samplers())
    assert "euler_ancestrall" not in engine.samplers()
    with pytest.raises(InvalidInput, match="euler_ancestral"):
        made(sampler="euler_ancestrall")
    with pytest.raises(InvalidInput, match="cfg or stg"):
        made(guider=PlannedGuider("apg"))
    with pytest.raises(InvalidInput, match="blocks 0 to 2"):
        made(guider=PlannedGuider("stg", (("blocks", (7,)),)))


def test_fingerprint_names_the_core_and_its_files(engine: Any, core: Any, folder: Path) -> None:
    import json

    described = engine.fingerprint()
    assert json.loads(json.dumps(described)) == described
    assert described["version"] == core.version
    assert engine.modes() == {"attention_mode": "default"}
    files = engine.sources()["files"]
    assert str((folder / "ltxv.safetensors").resolve()) in files
    root = Path(os.environ["COMFYUI_PATH"]).absolute()
    for module in ("comfy/ldm/lightricks/model.py", "comfy/text_encoders/t5.py", "comfy/ldm/common_dit.py"):
        assert str(root / module) in files
    assert {"torch", "torchaudio", "transformers"} <= described["packages"].keys()
    assert described["packages"] == engine.sources()["packages"]


@pytest.mark.usefixtures("core")
def test_missing_models_are_named(folder: Path) -> None:
    from actors.engines.make import make_engine
    from jobs.errors import CannotRun
    from jobs.spec.engine import EngineConfig

    def refuse(match: str, **config: Any) -> None:
        engine: Any = make_engine(EngineConfig(name="comfyui", **config), "cpu", 1)
        with pytest.raises(CannotRun, match=match):
            _ = engine.loaded.text

    refuse("'nowhere.safetensors' is no file", checkpoint="nowhere.safetensors")
    refuse("give engine.text_encoder", checkpoint="ltxv.safetensors")
    (folder / "old.ckpt").write_bytes(b"")
    refuse("--allow-pickle", checkpoint="old.ckpt")


@pytest.mark.usefixtures("core")
def test_another_comfyui_in_one_process_is_refused(tmp_path: Path) -> None:
    from actors.engines.comfyui.core.boot import BootOptions, boot
    from jobs.errors import CannotRun

    with pytest.raises(CannotRun, match="holds no ComfyUI"):
        boot(BootOptions(tmp_path, "cpu"))
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy" / "model_management.py").touch()
    with pytest.raises(CannotRun, match="one worker process per ComfyUI"):
        boot(BootOptions(tmp_path, "cpu"))


@pytest.fixture
def upscaler(engine: Any, needs: Run, folder: Path) -> Any:  # noqa: ARG001  for its effect
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    needs("upscale")
    from comfyui_checkpoints import write_upsampler

    upsampler = str(write_upsampler(folder / "up.safetensors"))
    config = EngineConfig(name="comfyui", checkpoint="ltxv.safetensors", upscale_model=upsampler)
    made = make_engine(config, "cpu", 1)
    made.setup(frozenset({Stage.UPSCALE}))
    return made


def first_pass() -> Any:
    import numpy as np

    from actors.payload import Payload

    return Payload({"latents": np.random.default_rng(3).standard_normal((1, 128, 4, 2, 2)).astype("f4")})


def refined(upscaler: Any, conditioning: Any, settings: Any, *pieces: Any) -> Any:
    """The latents of a second pass over `first_pass`."""
    from actors.engines.pieces import PassSound, Piece
    from jobs.planning.params import Upsampling

    start = Piece(upscaler.upsample(first_pass(), Upsampling()), hold=0.0)
    return upscaler.denoise(settings, [start, *pieces], PassSound(), conditioning)["latents"]


def second_pass() -> Any:
    from jobs.frames import ChunkSpan

    how = sampling(steps=2, denoise=0.5)
    return pass_params(width=128, height=128, span=ChunkSpan(2, 2, 5), seed=1, sampling=how)


def test_upscale_keeps_the_overlap_as_guide(upscaler: Any, conditioning: Any) -> None:
    import numpy as np

    from actors.engines.pieces import Piece
    from actors.payload import Payload
    from jobs.planning.params import Upsampling

    tail, run = Payload({"latents": np.zeros((1, 128, 1, 4, 4), dtype="f4")}), second_pass()
    guided, free = (refined(upscaler, conditioning, run, *held) for held in ((Piece(tail),), ()))
    plain = upscaler.upsample(first_pass(), Upsampling())["latents"]
    assert guided.shape == free.shape == plain.shape == (1, 128, 4, 4, 4)
    assert not np.array_equal(guided, free)
    assert not np.array_equal(free, plain)
    by_sigmas = replace(run, sampling=sampling(steps=2, denoise=0.0, sigmas=(0.9, 0.5, 0.0)))
    assert not np.array_equal(refined(upscaler, conditioning, by_sigmas, Piece(tail)), plain)


def test_a_still_is_held_and_the_noise_is_that_of_the_shot(upscaler: Any, conditioning: Any) -> None:
    import numpy as np

    from actors.engines.pieces import Piece
    from jobs.frames import ChunkSpan, Span
    from jobs.planning.params import Excerpt, Upsampling

    held = Piece(upscaler.still(first_pass(), 8, Upsampling()), 0)
    assert held.latents["latents"].shape == (1, 128, 1, 4, 4)
    apart = replace(second_pass(), span=ChunkSpan(1, 3, 5), excerpt=Excerpt((Span(1, 5),), 0, (1,)))
    made = refined(upscaler, conditioning, apart, held)
    assert np.array_equal(refined(upscaler, conditioning, apart, held), made)
    for other in (replace(apart, seed=2), replace(apart, excerpt=None)):
        assert not np.array_equal(refined(upscaler, conditioning, other, held), made)


@pytest.mark.parametrize(("steps", "tokens"), [(1, 192), (8, 8), (20, 5000), (40, 12_000)])
def test_the_schedule_is_that_of_the_core(core: Any, steps: int, tokens: int) -> None:
    """Within its rounding in single precision, which grows with the clip."""
    import torch

    from actors.engines.schedule import ltx_sigmas

    wanted = core.call(
        "LTXVScheduler",
        steps=steps,
        max_shift=2.05,
        base_shift=0.95,
        stretch=steps > 1,
        terminal=0.1,
        latent={"samples": torch.zeros(1, 128, 1, 1, tokens)},
    )[0]
    assert torch.allclose(ltx_sigmas(steps, tokens, 2.05, 0.95), wanted, atol=2e-5)
