"""The comfyui engine beside Lightricks' code, and ComfyUI's core where it is a reference of its own.

Needs a ComfyUI in COMFYUI_PATH, and the environment that `docs/fidelity.md` describes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_modules as modules
import test_steps as scenarios
from fidelity import MODULES, STEPS, Measured, difference

pytestmark = [pytest.mark.reference, pytest.mark.comfyui]
NAMES = ("2b-0.9.0", "2b-0.9.1", "2b-0.9.5", "13b-0.9.8-dev")
LAYOUTS = NAMES[:3]

Sides = Callable[[str], tuple[Any, Any]]


@pytest.fixture(scope="module")
def core() -> Any:
    root = os.environ.get("COMFYUI_PATH")
    if not root:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    import torch

    from actors.engines.comfyui.core.boot import BootOptions, boot
    from actors.engines.comfyui.core.nodes import Core

    torch.set_num_threads(1)
    boot(BootOptions(Path(root), device="cpu"))
    return Core.current()


@pytest.fixture(scope="module")
def comfy(core: Any, file_of: Any, upsampler_file: Path, sides: Sides, words: Any) -> Sides:  # noqa: ARG001  for its effect
    """Lightricks' code and the comfyui engine on the same file."""
    from comfy_side import ComfyFarm

    loaded: dict[str, Any] = {}

    def load(name: str) -> tuple[Any, Any]:
        if name not in loaded:
            options = {"upscale_model": str(upsampler_file)}
            loaded[name] = ComfyFarm.load(file_of(name), *words, **options)
        return sides(name)[0], loaded[name]

    return load


@pytest.fixture
def note(measured: Measured) -> Callable[..., None]:
    def held(name: str, scenario: str, got: list[Any], wanted: list[Any]) -> None:
        found = [difference(one, other) for one, other in zip(got, wanted, strict=True)]
        measured.note("comfyui steps", name, scenario, *found)
        assert max(found) <= STEPS, f"{name}, {scenario}: {[f'{step:.1e}' for step in found]}"

    return held


@pytest.fixture
def picture() -> np.ndarray:
    """uint8 `[1, 128, 128, 3]`."""
    return np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("name", NAMES)
def test_text_to_video(name: str, comfy: Sides, words: Any, note: Any) -> None:
    scenarios.test_text_to_video(name, comfy, words, note)


@pytest.mark.parametrize("name", NAMES)
def test_first_image(name: str, comfy: Sides, words: Any, picture: np.ndarray, note: Any) -> None:
    scenarios.test_first_image(name, comfy, words, picture, note)


@pytest.mark.parametrize("name", NAMES)
def test_image_at_frame_8(name: str, comfy: Sides, words: Any, picture: np.ndarray, note: Any) -> None:
    scenarios.test_image_at_frame_8(name, comfy, words, picture, note)


@pytest.mark.parametrize("name", NAMES)
def test_extend(name: str, comfy: Sides, words: Any, note: Any) -> None:
    scenarios.test_extend(name, comfy, words, note)


@pytest.mark.parametrize("name", NAMES)
def test_distilled_list(name: str, comfy: Sides, words: Any, note: Any) -> None:
    scenarios.test_distilled_list(name, comfy, words, note)


@pytest.mark.parametrize("name", NAMES)
def test_two_passes_distilled(name: str, comfy: Sides, words: Any, note: Any) -> None:
    scenarios.test_two_passes_distilled(name, comfy, words, note)


@pytest.mark.usefixtures("core")
def test_a_file_without_metadata_counts_frames_as_its_release_did(bare: Any) -> None:
    """Core takes every file without metadata for one of before 0.9.5."""
    from comfy_side import ComfyFarm
    from farm_side import noise

    wanted = bare.reference.run(noise(3, 4, 4), *bare.words, **scenarios.reference_settings())[-1]
    assert difference(ComfyFarm.load(bare.path, *bare.words).sample()[-1], wanted) <= STEPS


@pytest.mark.parametrize(("part", "frames"), [("encode, video", 9), ("encode, image", 1)])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_encoder(name: str, part: str, frames: int, comfy: Sides, measured: Measured) -> None:
    def note(name: str, part: str, found: float) -> None:
        measured.note("comfyui modules", name, part, found)
        assert found <= MODULES

    modules.test_the_encoder(name, part, frames, comfy, note)


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_decoder_pads_by_reflection(name: str, comfy: Sides, measured: Measured) -> None:
    """Where the file does not say; with zeros, as Lightricks pads, the pixels are equal."""
    import torch
    from farm_side import noise

    reference, farm = comfy(name)
    latents, vae = noise(3, 3, 4), farm.engine.loaded.vae
    wanted = ((reference.decode(latents, 0.05, 0.025, seed=5) + 1) / 2).clamp(0, 1)

    def decoded() -> Any:
        torch.manual_seed(5)
        with torch.inference_mode():
            images = vae.decode(latents.clone())
        return images.reshape(-1, *images.shape[-3:]).permute(3, 0, 1, 2)[None]

    own = difference(decoded(), wanted)
    with padding(vae, "zeros"):
        zeros = difference(decoded(), wanted)
    measured.note("comfyui modules", name, "decode, padded with zeros", zeros)
    measured.note("comfyui modules", name, "decode as it is", own)
    assert zeros <= MODULES < own


@pytest.mark.usefixtures("core")
def test_how_far_the_padding_reaches(measured: Measured) -> None:
    """On the bundled model, which is trained and pads with zeros: its own picture, padded by reflection."""
    import torch
    from comfy_side import ComfyEngine

    from jobs.spec.engine import EngineConfig

    options = EngineConfig.model_validate({"name": "comfyui", "dtype": "float32"})
    vae = ComfyEngine(options, "cpu", 1).loaded.vae
    across = torch.linspace(0, 1, 256)
    rows, columns = torch.meshgrid(across, across, indexing="ij")
    disc = ((columns - 0.5) ** 2 + (rows - 0.5) ** 2 < 0.05).float()
    still = torch.stack([columns, rows, disc], dim=-1)[None].repeat(9, 1, 1, 1)
    with torch.inference_mode():
        latents = vae.encode(still)
        zeros = vae.decode(latents).reshape(-1, 256, 256, 3)
        with padding(vae, "reflect"):
            reflected = vae.decode(latents).reshape(-1, 256, 256, 3)
    apart = (zeros - reflected).abs().amax(dim=(0, 3))
    for inside in (0, 32, 96):
        ring = apart[inside : 256 - inside, inside : 256 - inside].max()
        label = f"decoder padded by reflection, bundled model of 256 pixels: {inside} pixels inside"
        measured.note("comfyui choices", label, "difference", float(ring))
    assert apart[96:160, 96:160].max() < apart.max()


@contextmanager
def padding(vae: Any, mode: Any) -> Iterator[None]:
    """The decoder padded in another way."""
    import torch

    modules = vae.first_stage_model.decoder.modules()
    before = {module: module.padding_mode for module in modules if isinstance(module, torch.nn.Conv3d)}
    for module in before:
        module.padding_mode = mode
    try:
        yield
    finally:
        for module, own in before.items():
            module.padding_mode = own


@pytest.mark.parametrize("rescale", [0.0, 0.7])
def test_stg_skips_blocks(rescale: float, comfy: Sides, sides: Sides, measured: Measured) -> None:
    """Core's node skips whole blocks, the diffusers engine passes their values through."""
    from jobs.planning.sampling import PlannedGuider

    guider = PlannedGuider("stg", (("blocks", (1,)), ("rescale", rescale), ("stg_scale", 1.0)))
    pairs = zip(
        comfy(NAMES[-1])[1].sample(guider=guider), sides(NAMES[-1])[1].sample(guider=guider), strict=True
    )
    found = max(difference(one, other) for one, other in pairs)
    measured.note(
        "comfyui choices",
        f"STG, `rescale: {rescale}`: blocks skipped, values passed through",
        "difference",
        found,
    )
    assert found > 10 * STEPS


class TestPrompts:
    """T5 with core's own vocabulary, on the same weights in both engines."""

    @pytest.fixture(scope="class")
    def both(self, core: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
        """The farm's prompts, and core's encoder: each a prompt -> embeddings and mask."""
        import comfy.sd1_clip
        import comfy.text_encoders.lt
        import comfy.text_encoders.t5
        import torch
        from t5_folder import write_encoder
        from transformers import AutoTokenizer, T5EncoderModel

        from actors.engines.diffusers.ltx_video.text import T5Prompts

        folder = write_encoder(tmp_path_factory.mktemp("t5"), vocabulary=32128)
        encoder = T5EncoderModel.from_pretrained(folder / "text_encoder").eval()
        tokenizer = comfy.text_encoders.lt.LTXVT5Tokenizer()
        root = Path(comfy.text_encoders.lt.__file__).parent
        farm = T5Prompts(AutoTokenizer.from_pretrained(root / "t5_tokenizer"), encoder)
        config = {
            "d_ff": 128, "d_kv": 16, "d_model": 64, "dense_act_fn": "gelu_pytorch_tanh", "is_gated_act": True,
            "num_heads": 4, "num_layers": 2, "vocab_size": 32128, "model_type": "t5",
        }  # fmt: skip
        model = comfy.sd1_clip.SDClipModel(
            device="cpu", layer="last", textmodel_json_config=config, special_tokens={"end": 1, "pad": 0},
            model_class=comfy.text_encoders.t5.T5, enable_attention_masks=True, return_attention_masks=True,
            dtype=torch.float32,
        )  # fmt: skip
        model.transformer.load_state_dict(encoder.state_dict(), strict=False)

        def core_encode(prompt: str) -> tuple[Any, Any]:
            made = model.encode_token_weights(tokenizer.tokenize_with_weights(prompt)["t5xxl"])
            return made[0], made[2]["attention_mask"].bool()

        return farm.encode, core_encode

    @pytest.mark.parametrize(
        ("kind", "prompt"),
        [
            ("a sentence", "a pier at dawn, the fog lifts and a bell rings"),
            ("other letters", "it’s a  café\n— naïve ﬁlm"),
            ("nothing", ""),
        ],
    )
    def test_equal(self, kind: str, prompt: str, both: tuple[Any, Any], measured: Measured) -> None:
        import torch

        with torch.inference_mode():
            (got, mask), (wanted, core_mask) = both[0](prompt), both[1](prompt)
        found = difference(got[mask], wanted[core_mask])
        measured.note("comfyui text", kind, "ComfyUI", found)
        assert found <= MODULES

    def test_weights_are_read_by_core_alone(self, both: tuple[Any, Any]) -> None:
        import torch

        with torch.inference_mode():
            (_, mask), (_, core_mask) = both[0]("a (red:1.3) boat"), both[1]("a (red:1.3) boat")
        assert int(mask.sum()) > int(core_mask.sum())

    def test_long_prompts_are_cut_by_the_diffusers_engine_alone(self, both: tuple[Any, Any]) -> None:
        import torch

        prompt = "the camera slowly pans to the right over a quiet harbor. " * 40
        with torch.inference_mode():
            (_, mask), (_, core_mask) = both[0](prompt), both[1](prompt)
        assert int(mask.sum()) == 256 < int(core_mask.sum())
