"""LTX-2.5's second video VAE, whose decoder denoises pixels: a film of several windows has no seams of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_farm import render_here
from comfyui_graph import know_folder
from comfyui_releases import shrink, write_diffusion_vae, write_release

from jobs.frames import Span

pytestmark = pytest.mark.comfyui

LATENTS, START, STOP = 20, 8, 12
CONTEXT = 4
"""What a spec has where it does not say."""


@pytest.fixture(scope="module")
def diffusion_vae(core: Any, tmp_path_factory: Any) -> Path:
    if core.lacks("ltx-2.5"):
        pytest.skip("cores before 0.32 do not know this VAE")
    return write_diffusion_vae(tmp_path_factory.mktemp("vae") / "diffusion.safetensors")


@pytest.fixture(scope="module")
def vae(core: Any, diffusion_vae: Path) -> Any:
    know_folder(diffusion_vae.parent)
    return core.call("VAELoader", vae_name=diffusion_vae.name)[0]


def noise(latents: int) -> torch.Tensor:
    return torch.randn(1, 128, latents, 2, 2, generator=torch.Generator().manual_seed(1))


def seam(decode: Callable[[torch.Tensor, int], torch.Tensor], context: int) -> float:
    """By how much a window with `context` latents on each side differs from the same frames of the whole."""
    latents, start = noise(LATENTS), START - context
    window = decode(latents[:, :, start : STOP + context], start)
    shown = Span(8 * START, 8 * (STOP - 1) + 1)
    own = shown.shifted(-8 * start)
    return float((decode(latents, 0)[shown.start : shown.stop] - window[own.start : own.stop]).abs().mean())


def test_windows_agree(vae: Any) -> None:
    from actors.engines.comfyui.decode import decode_images

    with torch.inference_mode():
        as_core = seam(lambda clip, _: decode_images(vae, clip), CONTEXT)
        found = [seam(lambda clip, first: decode_images(vae, clip, first), context) for context in (0, 2, 4)]
    print(f"of 1: {as_core:.3f} with noise by shape; by frame, contexts 0, 2, 4: {found}")
    assert as_core > 0.1
    assert found[2] < 1e-4 < found[0]


def test_the_diffusers_engine_shows_the_same(vae: Any, diffusion_vae: Path) -> None:
    """One file in both engines, at the same noise: pixels of latents, and latents of pixels."""
    from actors.engines.comfyui.decode import decode_images
    from actors.engines.diffusers.checkpoint import Checkpoint
    from actors.engines.diffusers.ltx2.pixels.component import pixel_vae_component
    from actors.engines.diffusers.ltx2.pixels.vae import codec_of
    from actors.engines.latents import DecodeSettings

    codec = codec_of(pixel_vae_component(Checkpoint.open(diffusion_vae)).load(torch.float32))
    latents = noise(4)
    with torch.inference_mode():
        wanted = decode_images(vae, latents, 5)
        pixels = codec.decoded(codec.prepare(latents), DecodeSettings(first=5))[0]
        got = ((pixels + 1) / 2).clamp(0, 1).permute(1, 2, 3, 0)
        both = vae.encode(wanted), codec._encoded(255 * wanted)
    decoded = float((got - wanted).abs().max())
    encoded = float((both[0] - both[1]).abs().max() / both[0].abs().max())
    print(f"pixels {decoded:.1e} of 1, latents {encoded:.1e} of the largest")
    assert decoded < 1e-5
    assert encoded < 1e-4


def test_names_are_those_that_core_reads(vae: Any) -> None:
    from tests.official.pixel_vae import NARROW, pixel_shapes

    wanted = {name: tuple(each.shape) for name, each in vae.first_stage_model.state_dict().items()}
    assert {name: shape for name, shape in pixel_shapes(NARROW, "narrow").items() if name in wanted} == wanted


def test_tiles_agree(vae: Any) -> None:
    from actors.engines.comfyui.decode import decode_images, decode_tiles, to_uint8
    from jobs.planning.params import Tiles

    latents = noise(12)
    with torch.inference_mode():
        whole = to_uint8(decode_images(vae, latents, 5))
        tiled = torch.from_numpy(decode_tiles(vae, latents, Tiles(4, CONTEXT), 5))
    assert tiled.shape == whole.shape
    assert (tiled.int() - whole.int()).abs().float().mean() < 0.1


def test_noise_is_of_the_kind_that_core_draws(vae: Any) -> None:
    from actors.engines.comfyui.decode import decode_images

    with torch.inference_mode():
        own, as_core = decode_images(vae, noise(2), 0), decode_images(vae, noise(2))
    assert own.shape == as_core.shape == (9, 64, 64, 3)
    assert float(own.std()) == pytest.approx(float(as_core.std()), rel=0.1)


@pytest.fixture
def spec(core: Any, diffusion_vae: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:  # noqa: ARG001  for its effect
    shrink(monkeypatch)
    engine = write_release(tmp_path, "2.5", "split") | {"vae": str(diffusion_vae)}
    extend = {"prompt": "the red ball moves", "num_new_frames": 16, "overlap_frames": 16, "seed": 2}
    return {
        "version": 1,
        "name": "film",
        "engine": engine,
        "defaults": {"width": 64, "height": 64, "steps": 1, "cfg": 1.0, "frame_rate": 25.0},
        "videos": [
            {
                "name": "take",
                "chunks": [
                    {"generate": {"prompt": "a red ball", "num_frames": 25, "seed": 1}},
                    {"extend": extend},
                ],
            }
        ],
        "output": {"dir": str(tmp_path / "out")},
        "run": {"threads": 1},
    }


def test_a_film_is_rendered(spec: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each window is told where in the film it stands."""
    from actors.engines.comfyui import decode as home

    firsts, decode = [], home.decode_images

    def noted(vae: Any, latents: torch.Tensor, first: int | None = None) -> torch.Tensor:
        firsts.append((first, latents.shape[2]))
        return decode(vae, latents, first)

    monkeypatch.setattr("actors.engines.comfyui.engine.decode_images", noted)
    render_here(spec, tmp_path)
    assert firsts == [(0, 4), (0, 6)]
    assert (tmp_path / "out" / "take.mp4").is_file()


def test_its_noise_is_in_the_digests_of_decodes_alone(spec: dict[str, Any], ltxv: Any, folder: Path) -> None:  # noqa: ARG001  for its effect
    """A job of before this noise decodes anew, and samples nothing."""
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig

    described = make_engine(EngineConfig.model_validate(spec["engine"]), "cpu", 1).fingerprint()
    assert described["decode"].pop("noise") == "of the film's frames"
    assert described["decode"].keys() == {"vae", "audio_vae"}
    assert "noise" not in {**described, **described["encode"], **described["sample"], **described["upscale"]}
    plain = make_engine(EngineConfig(name="comfyui", checkpoint=str(folder / "ltxv.safetensors")), "cpu", 1)
    assert plain.fingerprint()["decode"].keys() == {"vae", "audio_vae"}


def test_what_it_cannot_do_is_refused_before_the_render(spec: dict[str, Any], vae: Any) -> None:
    from actors.engines.comfyui.decode import decoding
    from actors.engines.latents import DecodeSettings
    from jobs.errors import InvalidInput, SpecError
    from jobs.loading.load import load_spec

    with pytest.raises(SpecError, match="knows no timestep, noise scale or tone map"):
        load_spec({**spec, "decode": {"noise_scale": 0.1}})
    with (
        pytest.raises(InvalidInput, match="knows no timestep, noise scale or tone map"),
        decoding(vae, noise(2), DecodeSettings(noise_scale=0.1)),
    ):
        raise AssertionError("it went on")
