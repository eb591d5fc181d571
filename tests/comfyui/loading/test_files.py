"""Model files: whole or in parts, by path or by name, with LoRAs; what is missing is refused at the start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from comfyui_kit import Kit, sampled

pytestmark = [pytest.mark.comfyui, pytest.mark.usefixtures("ltxv")]

Run = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[3]


def engine_of(*stages: str, **config: Any) -> Any:
    """An engine of this process's core, its stages set up."""
    from actors.engines.make import make_engine
    from jobs.spec.engine import EngineConfig
    from jobs.tasks.task import Stage

    described = {"name": "comfyui", **config}
    engine = make_engine(EngineConfig.model_validate(described), "cpu", 1)
    engine.setup(frozenset(map(Stage, stages)))
    return engine


def test_parts_make_what_the_checkpoint_makes(folder: Path, conditioning: Any) -> None:
    import numpy as np
    from comfyui_checkpoints import write_parts

    from actors.payload import Payload
    from jobs.frames import DecodeWindow, Span
    from jobs.planning.params import DecodeParams

    model, vae = write_parts(folder)
    parts = engine_of("sample", "decode", diffusion_model=str(model), vae=str(vae))
    whole = engine_of("sample", "decode", checkpoint="ltxv.safetensors")
    latents = sampled(whole, conditioning)
    assert np.array_equal(sampled(parts, conditioning), latents)
    window = DecodeWindow(Span(0, 3), Span(0, 3), Span(0, 17))
    params = DecodeParams(128, 96, (Span(0, 3),), window, 0, 25.0)
    clip = Payload({"latents": latents})
    assert np.array_equal(parts.decode(params, clip), whole.decode(params, clip))


def test_a_diffusion_model_alone_names_what_it_lacks(folder: Path) -> None:
    from comfyui_checkpoints import write_parts

    from jobs.errors import CannotRun

    model, _ = write_parts(folder)
    with pytest.raises(CannotRun, match=r"engine\.vae"):
        engine_of("decode", diffusion_model=str(model))
    with pytest.raises(CannotRun, match=r"engine\.text_encoder"):
        engine_of("encode", diffusion_model=str(model))


def test_loras_of_the_job_are_those_applied_outside(
    ltxv: Kit, folder: Path, conditioning: Any, generate: Run
) -> None:
    import comfy.sd
    import comfy.utils
    import numpy as np
    from comfyui_checkpoints import write_lora

    path = write_lora(folder / "style.safetensors")
    weights = comfy.utils.load_torch_file(str(path), safe_load=True)
    outside, _ = comfy.sd.load_lora_for_models(ltxv.model, None, weights, 0.5, 0.0)
    by_node = generate(model=outside)[0]["samples"].numpy()
    loras = [{"path": "style.safetensors", "strength": 0.5}]
    engine = engine_of("sample", checkpoint="ltxv.safetensors", loras=loras)
    assert np.array_equal(sampled(engine, conditioning), by_node)
    assert engine.fingerprint()["sample"]["loras"][0][1] == 0.5
    plain = engine_of("sample", checkpoint="ltxv.safetensors")
    assert not np.allclose(sampled(plain, conditioning), by_node, atol=1e-3)
    assert engine.fingerprint()["sample"] != plain.fingerprint()["sample"]


def test_a_job_with_loras_has_the_same_bytes_however_little_fits(
    folder: Path, conditioning: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Core adds a LoRA in another number type to weights that stay behind."""
    import comfy.model_management as management
    import numpy as np
    from comfyui_checkpoints import write_lora

    write_lora(folder / "style.safetensors")
    loras = [{"path": "style.safetensors", "strength": 1.0}]
    load, results = management.LoadedModel.model_load, []
    for budget_bytes in (0, 64):

        def with_budget(
            model: Any,
            lowvram_model_memory: int = 0,
            force_patch_weights: bool = False,
            at: int = budget_bytes,
        ) -> Any:
            return load(model, at or lowvram_model_memory, force_patch_weights)

        monkeypatch.setattr(management.LoadedModel, "model_load", with_budget)
        engine = engine_of("sample", checkpoint="ltxv.safetensors", loras=loras, dtype="bfloat16")
        results.append(sampled(engine, conditioning))
        assert engine.loaded.model.model.model_lowvram == bool(budget_bytes)
        management.unload_all_models()
    assert np.array_equal(*results)


def test_a_link_in_a_cache_of_downloads_is_loaded_by_its_own_name(
    folder: Path, tmp_path: Path, conditioning: Any
) -> None:
    """The cache keeps files under their digest, without a suffix."""
    import numpy as np

    blob, link = tmp_path / "blobs" / "0f3c9d2e", tmp_path / "snapshot" / "model.safetensors"
    for path in (blob, link):
        path.parent.mkdir()
    shutil.copyfile(folder / "ltxv.safetensors", blob)
    link.symlink_to(blob)
    linked = sampled(engine_of("sample", checkpoint=str(link)), conditioning)
    assert np.array_equal(linked, sampled(engine_of("sample", checkpoint="ltxv.safetensors"), conditioning))


def test_an_audio_vae_by_path_is_the_one_by_name(
    needs: Run, request: pytest.FixtureRequest, folder: Path, tmp_path: Path, soundtrack: Any
) -> None:
    """Its own file or the checkpoint, wherever it lies."""
    import numpy as np

    from jobs.planning.params import EncodeAudio

    needs("audio")
    needs("ltx-2")
    request.getfixturevalue("ltxav")
    elsewhere = tmp_path / "elsewhere.safetensors"
    elsewhere.symlink_to(folder / "ltxav.safetensors")
    params = EncodeAudio("score.wav", 0, 44100, 44100, 25.0, 25)
    heard = [
        engine_of("encode", checkpoint="ltxav.safetensors", audio_vae=name).encode_audio(
            params, soundtrack["waveform"][0, :, :44100].numpy()
        )["audio_latents"]
        for name in ("ltxav.safetensors", str(elsewhere))
    ]
    assert heard[0].shape[2] > 1
    assert np.array_equal(*heard)


def test_a_core_without_audio_refuses_an_audio_job_at_the_start(core: Any) -> None:
    from jobs.errors import MissingCoreApi

    config = {"checkpoint": "ltxv.safetensors", "audio_vae": "ltxv.safetensors"}
    if core.has("LTXVAudioVAELoader"):
        engine_of("sample", **config)
        return
    with pytest.raises(MissingCoreApi, match=r"ComfyUI 0\.3\.64: audio: it has no .* versions from 0\.8\.0"):
        engine_of("sample", **config)


def test_a_deaf_model_is_named(needs: Run, conditioning: Any) -> None:
    from jobs.errors import InvalidInput

    needs("audio")
    engine = engine_of("sample", checkpoint="ltxv.safetensors")
    with pytest.raises(InvalidInput, match="LTX-2"):
        sampled(engine, conditioning, audio_mode="generate")


def test_decode_noise_comes_from_the_seed(folder: Path) -> None:
    """Decoders that are conditioned on a timestep draw noise from the global generator."""
    import numpy as np
    from comfyui_checkpoints import write_noisy_vae

    from actors.payload import Payload
    from actors.steps.seeding import seed_everything
    from jobs.frames import DecodeWindow, Span
    from jobs.planning.params import DecodeParams

    path = write_noisy_vae(folder / "noisy.safetensors")
    engine = engine_of("decode", checkpoint=str(path), vae=str(path))
    window = DecodeWindow(Span(0, 2), Span(0, 2), Span(0, 9))
    params = DecodeParams(64, 64, (Span(0, 2),), window, 0, 25.0)
    clip = Payload({"latents": np.random.default_rng(1).standard_normal((1, 128, 2, 2, 2)).astype("f4")})

    def decoded(seed: int) -> Any:
        seed_everything(seed)
        return engine.decode(params, clip)

    assert np.array_equal(decoded(1), decoded(1))
    assert not np.array_equal(decoded(1), decoded(2))


@pytest.fixture(scope="module")
def with_paths(core: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:  # noqa: ARG001  for its effect
    """The checkout under test with an `extra_model_paths.yaml` of its own, and the folder that it names."""
    checkout = Path(os.environ["COMFYUI_PATH"])
    root, models = tmp_path_factory.mktemp("ComfyUI"), tmp_path_factory.mktemp("shared")
    for entry in checkout.iterdir():
        if entry.is_dir():
            (root / entry.name).symlink_to(entry, target_is_directory=True)
        else:
            shutil.copy(entry, root / entry.name)
    (models / "checkpoints").mkdir()
    paths = {"farm": {"base_path": str(models), "checkpoints": "checkpoints"}}
    (root / "extra_model_paths.yaml").write_text(yaml.safe_dump(paths))
    (models / "checkpoints" / "far.safetensors").write_bytes(b"")
    return root, models


def test_extra_model_paths_are_honoured(with_paths: tuple[Path, Path]) -> None:
    root, models = with_paths
    script = (
        "from pathlib import Path\n"
        "from actors.engines.comfyui.core.boot import BootOptions, boot\n"
        "from actors.engines.comfyui.loading.loaders import ComfyModelFiles\n"
        "from jobs.spec.engine import EngineConfig\n"
        f"boot(BootOptions(Path({str(root)!r}), 'cpu'))\n"
        "config = EngineConfig(name='comfyui', checkpoint='far.safetensors')\n"
        "print(ComfyModelFiles.locate(config).checkpoint)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip().splitlines()[-1] == str(models / "checkpoints" / "far.safetensors")


def test_the_doctor_looks_where_the_core_looks(with_paths: tuple[Path, Path]) -> None:
    from farm.doctor.comfyui import check_comfyui
    from farm.doctor.finding import Level
    from jobs.spec.job import JobSpec

    root, models = with_paths

    def looked_for(name: str) -> Any:
        generate = {"generate": {"prompt": "a", "num_frames": 17}}
        document = {
            "version": 1,
            "name": "film",
            "engine": {"name": "comfyui", "checkpoint": name},
            "videos": [{"name": "v", "chunks": [generate]}],
        }
        findings = check_comfyui(str(root), JobSpec.model_validate(document))
        (found,) = [finding for finding in findings if finding.check == "models"]
        return found

    near = looked_for("far.safetensors")
    assert (near.level, str(models / "checkpoints") in near.message) == (Level.OK, True)
    far = looked_for("nowhere.safetensors")
    assert far.level is Level.FAIL
    assert "engine.checkpoint: nowhere.safetensors is not in" in far.message
    assert str(models / "checkpoints") in far.message


@pytest.mark.parametrize(
    ("stage", "part", "key"),
    [
        ("sample", "model.diffusion_model.", "transformer_blocks.1.attn1.to_q.weight"),
        ("decode", "vae.", "decoder.conv_out.conv.weight"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(folder: Path, stage: str, part: str, key: str) -> None:
    """Core would go on with what memory happens to hold."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    from jobs.errors import CannotRun

    with safe_open(folder / "ltxv.safetensors", framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
    statistics = "vae.per_channel_statistics."
    for name in ("channel", "mean-of-stds", "mean-of-stds_over_std-of-means"):
        tensors[statistics + name] = tensors[f"{statistics}mean-of-means"].clone()
    save_file(tensors, folder / f"{stage}-whole.safetensors", metadata)
    engine_of(stage, checkpoint=str(folder / f"{stage}-whole.safetensors"))
    more = {**tensors, f"{part}extra.weight": tensors[part + key].clone()}
    save_file(more, folder / f"{stage}-more.safetensors", metadata)
    with pytest.raises(CannotRun, match=r"extra\.weight is no part"):
        engine_of(stage, checkpoint=str(folder / f"{stage}-more.safetensors"))
    del tensors[part + key]
    save_file(tensors, folder / f"{stage}-less.safetensors", metadata)
    with pytest.raises(CannotRun, match=f"{key} is missing"):
        engine_of(stage, checkpoint=str(folder / f"{stage}-less.safetensors"))
