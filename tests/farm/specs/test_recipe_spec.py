"""`farm init --checkpoint`: the recipe of a file, and the spec that is written for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from actors.models import TINY_CHECKPOINT
from farm.cli.main import run
from farm.cli.recipes import require_recipe
from jobs.loading.load import load_spec
from tests.official.files import RELEASES, write_release, write_sparse

RECIPES = {
    ("2b", "0.9.0", False): "ltxv-2b-0.9.1",
    ("2b", "0.9.1", False): "ltxv-2b-0.9.1",
    ("2b", "0.9.5", False): "ltxv-2b-0.9.6-dev",
    ("2b", "0.9.6", False): "ltxv-2b-0.9.6-dev",
    ("2b", "0.9.6", True): "ltxv-2b-0.9.6-distilled",
    ("2b", "0.9.8", True): "ltxv-2b-0.9.8-distilled",
    ("13b", "0.9.7", False): "ltxv-13b-0.9.8-dev",
    ("13b", "0.9.7", True): "ltxv-13b-0.9.8-distilled",
    ("13b", "0.9.8", False): "ltxv-13b-0.9.8-dev",
    ("13b", "0.9.8", True): "ltxv-13b-0.9.8-distilled",
}


@pytest.mark.parametrize("name", RELEASES)
def test_every_published_file_has_its_recipe(name: str, tmp_path: Path) -> None:
    release, spec = RELEASES[name], tmp_path / "film.yaml"
    checkpoint = write_release(tmp_path, name)
    assert run(["init", str(spec), "--checkpoint", str(checkpoint)]) == 0
    size = "13b" if release.transformer == "13b" else "2b"
    written = yaml.safe_load(spec.read_text())
    assert written["recipe"] == RECIPES[size, release.version, release.distilled]
    assert load_spec(spec, check_files=False).spec.engine.checkpoint == str(checkpoint)
    assert "upscale" not in written


def test_what_lies_beside_it_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `farm models get` lays the files out: the second pass is switched on."""
    home = tmp_path / "models" / "LTX-Video"
    home.mkdir(parents=True)
    checkpoint = write_release(home, "ltxv-13b-0.9.8-distilled.safetensors")
    (home / "ltxv-spatial-upscaler-0.9.8.safetensors").touch()
    (tmp_path / "models" / "PixArt-XL-2-1024-MS").mkdir()
    spec = tmp_path / "dawn.json"
    assert run(["init", str(spec), "--checkpoint", str(checkpoint), "-o", "json"]) == 0
    assert '"recipe": "ltxv-13b-0.9.8-distilled"' in capsys.readouterr().out
    loaded = load_spec(spec, check_files=False).spec
    assert loaded.upscale is not None
    assert loaded.upscale.tone_map == 0.6
    assert loaded.engine.text_encoder == str(tmp_path / "models" / "PixArt-XL-2-1024-MS")
    assert loaded.engine.upscale_model == str(home / "ltxv-spatial-upscaler-0.9.8.safetensors")
    assert loaded.videos[0].name == "dawn"


LTX2 = {
    "model.diffusion_model.patchify_proj.weight": ("BF16", (4096, 128)),
    "model.diffusion_model.transformer_blocks.0.attn1.to_q.weight": ("BF16", (4096, 4096)),
    "model.diffusion_model.audio_adaln_single.linear.weight": ("BF16", (4, 4)),
}


@pytest.mark.parametrize("engine", ["diffusers", "comfyui"])
def test_each_engine_has_its_files(engine: str, tmp_path: Path) -> None:
    """ComfyUI's core wants the audio VAE named, and Gemma in one file; the diffusers engine a folder."""
    home = tmp_path / "LTX-2"
    (home / "text_encoder").mkdir(parents=True)
    gemma = tmp_path / "ltx-2" / "split_files" / "text_encoders" / "gemma_3_12B_it.safetensors"
    gemma.parent.mkdir(parents=True)
    gemma.touch()
    checkpoint = write_sparse(home / "ltx-2-19b-distilled.safetensors", LTX2)
    spec = tmp_path / "film.yaml"
    assert run(["init", str(spec), "--checkpoint", str(checkpoint), "--engine", engine]) == 0
    loaded = load_spec(spec, check_files=False).spec
    assert loaded.recipe is not None
    assert loaded.recipe.name == "ltx-2-distilled"
    assert loaded.engine.name == engine
    of_core = (str(checkpoint), str(gemma))
    assert (loaded.engine.audio_vae, loaded.engine.text_encoder) == (
        of_core if engine == "comfyui" else (None, str(home))
    )


def test_the_lora_of_a_second_pass_counts_in_it_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The published second pass of a model that is not distilled; without the LoRA it is refused."""
    home = tmp_path / "LTX-2"
    (home / "text_encoder").mkdir(parents=True)
    checkpoint = write_sparse(home / "ltx-2-19b-dev.safetensors", LTX2)
    for name in ("ltx-2-spatial-upscaler-x2-1.0.safetensors", "ltx-2-19b-distilled-lora-384.safetensors"):
        (home / name).touch()
    spec = tmp_path / "film.yaml"
    assert run(["init", str(spec), "--checkpoint", str(checkpoint)]) == 0
    loaded = load_spec(spec, check_files=False).spec
    (lora,) = loaded.engine.loras
    assert (lora.strengths.sample, lora.strengths.upscale) == (0.0, 1.0)
    assert loaded.upscale is not None
    assert dict(loaded.defaults.guider.params)["audio_cfg"] == 7.0
    without = "\n".join(line for line in spec.read_text().splitlines() if "loras" not in line)
    spec.write_text(without)
    capsys.readouterr()
    assert run(["check", str(spec)]) == 2
    assert "needs ltx-2-19b-distilled-lora-384.safetensors" in capsys.readouterr().err


LTX25 = {
    "patchify_proj.weight": ("BF16", (4096, 128)),
    "transformer_blocks.0.attn1.to_q.weight": ("BF16", (4096, 4096)),
    "audio_adaln_single.linear.weight": ("BF16", (4, 4)),
    "keyframes_abs_pos_embedding": ("BF16", (1, 4096)),
}


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """The transformer of LTX-2.5, and beside it, empty, what `farm models get` puts there."""
    for name in ("ltx-2.5-dfr", "ltx-2.5-distilled"):
        recipe = require_recipe(name)
        for _, file in recipe.downloads:
            place = tmp_path / "models" / file.repo.rpartition("/")[2] / (file.file or "text_encoder")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
    return write_sparse(tmp_path / "models" / "LTX-2.5" / str(recipe.model.file), LTX25)


def test_a_model_with_temporal_rounds(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its plain recipe is taken, and the other one offered."""
    spec = tmp_path / "film.yaml"
    assert run(["init", str(spec), "--checkpoint", str(parts)]) == 0
    assert "with --recipe ltx-2.5-dfr: LTX-2.5 distilled" in capsys.readouterr().out
    plain = load_spec(spec, check_files=False).spec
    assert (plain.engine.name, plain.upscale is not None) == ("comfyui", True)
    assert run(["init", str(spec), "--force", "--checkpoint", str(parts), "--recipe", "ltx-2.5-dfr"]) == 0
    loaded = load_spec(spec, check_files=False).spec
    assert loaded.upscale is not None
    assert loaded.upscale.temporal == 2
    assert (loaded.engine.name, loaded.engine.diffusion_model) == ("diffusers", str(parts))
    home = tmp_path / "models" / "LTX-2.5"
    upscalers = home / "latent_upscale_models"
    time = upscalers / "ltx-2.5-latent-temporal-upscaler-x2-bf16-1.0.safetensors"
    assert loaded.engine.temporal_upscale_model == str(time)
    projection = home / "text_encoders" / "gemma4-12b-with-proj-ltx-2.5-bf16.safetensors"
    assert loaded.engine.text_encoders == (str(tmp_path / "models" / "LTX-2.5-Diffusers"), str(projection))
    (lora,) = loaded.engine.loras
    assert [lora.strengths.of(which) for which in ("sample", "upscale", "rounds")] == [0.0, 0.5, 0.0]


def test_the_dev_model_in_parts(tmp_path: Path) -> None:
    """Its LoRA lies in a folder of its own in the same repository."""
    recipe, models = require_recipe("ltx-2.5-dev"), tmp_path / "models"
    for _, file in recipe.downloads:
        place = models / file.repo.rpartition("/")[2] / (file.file or "text_encoder")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    spec, model = tmp_path / "film.yaml", models / "LTX-2.5" / str(recipe.model.file)
    assert run(["init", str(spec), "--checkpoint", str(write_sparse(model, LTX25))]) == 0
    loaded = load_spec(spec, check_files=False).spec
    assert (loaded.engine.name, loaded.engine.diffusion_model) == ("diffusers", str(model))
    assert loaded.upscale is not None
    (lora,) = loaded.engine.loras
    assert lora.path == str(models / "LTX-2.5" / "loras" / "ltx-2.5-22b-distilled-lora-450-bf16.safetensors")
    assert [lora.strengths.of(which) for which in ("sample", "upscale")] == [0.0, 1.0]
    assert len(loaded.engine.text_encoders) == 2


def test_rounds_wait_for_their_upscaler(parts: Path, tmp_path: Path) -> None:
    """A file that is missing stands as a comment, and so does the second pass that needs it."""
    (parts.parents[1] / "latent_upscale_models").rename(tmp_path / "elsewhere")
    (tmp_path / "models" / "LTX-2.5-Diffusers" / "text_encoder").unlink()
    (tmp_path / "models" / "LTX-2.5-Diffusers").rmdir()
    spec = tmp_path / "film.yaml"
    assert run(["init", str(spec), "--checkpoint", str(parts), "--recipe", "ltx-2.5-dfr"]) == 0
    text = spec.read_text()
    assert "# upscale: {temporal: 2}" in text
    for named in ("temporal_upscale_model: ltx-2.5-latent-temporal", "text_encoder: [FOLDER, FILE]"):
        assert f"  # {named}" in text
    assert load_spec(spec, check_files=False).spec.upscale is None


@pytest.mark.parametrize("recipe", ["ltx-2-dev", "ltx-2.5-drf"])
def test_a_recipe_of_another_model_is_refused(
    recipe: str, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = tmp_path / "film.yaml"
    assert run(["init", str(spec), "--checkpoint", str(parts), "--recipe", recipe]) == 2
    assert "write ltx-2.5-distilled or ltx-2.5-dfr" in capsys.readouterr().err
    assert run(["init", str(spec), "--recipe", recipe]) == 2
    assert "add --checkpoint" in capsys.readouterr().err
    assert not spec.exists()


def test_an_engine_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "get", "ltx-2-dev", "--engine", "other", "--to", str(tmp_path)]) == 2
    assert "--engine" in capsys.readouterr().err


def test_what_has_no_recipe_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_sparse(tmp_path / "lora.safetensors", {"a.lora_A.weight": ("F32", (2, 2))})
    for checkpoint in (TINY_CHECKPOINT, other, tmp_path / "nowhere.safetensors"):
        spec = tmp_path / "film.yaml"
        assert run(["init", str(spec), "--checkpoint", str(checkpoint)]) == 2
        assert checkpoint.name in capsys.readouterr().err
        assert not spec.exists()
