"""`farm models get` against a hub on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.cli.main import run
from farm.cli.recipes import require_recipe
from farm.models.fetch import RECORD
from tests.farm.models.fake_hub import Hub, Repo, serving

RECIPE = "ltxv-2b-0.9.6-distilled"
CHECKPOINT = "ltxv-2b-0.9.6-distilled-04-25.safetensors"
WEIGHTS = bytes(range(256)) * 4000


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    text = {
        "text_encoder/model.safetensors": WEIGHTS[:9000],
        "text_encoder/config.json": b"{}",
        "tokenizer/spiece.model": b"words",
        "transformer/model.safetensors": b"not wanted",
    }
    model = Repo({CHECKPOINT: WEIGHTS, "README.md": b"not wanted"}, licence="ltxv")
    repos = {"Lightricks/LTX-Video": model, "PixArt-alpha/PixArt-XL-2-1024-MS": Repo(text, "b" * 40)}
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with serving(Hub(repos)) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def get(folder: Path, *more: str) -> int:
    return run(["models", "get", RECIPE, "--to", str(folder), *more])


def checkpoint(folder: Path) -> Path:
    return folder / "LTX-Video" / CHECKPOINT


def transfers(hub: Hub) -> list[tuple[str, str]]:
    return [
        (path.rpartition("/")[2], span)
        for method, path, span in hub.asked
        if method == "GET" and "resolve" in path
    ]


def test_nothing_is_fetched_without_a_yes(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(tmp_path / "models") == 2
    shown = capsys.readouterr().err
    for words in (
        "LTX-Video Open Weights License",
        "ltxv",
        "aaaaaaaaaaaa",
        "1.02 MB",
        "1.03 MB to fetch",
        "--yes",
    ):
        assert words in shown
    assert transfers(hub) == []
    assert not (tmp_path / "models").exists()


def test_files_are_fetched_verified_and_recorded(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(tmp_path, "--yes", "-o", "json") == 0
    result = json.loads(capsys.readouterr().out)
    assert result["fetched"] == 4
    assert Path(result["engine"]["checkpoint"]).read_bytes() == WEIGHTS
    assert (Path(result["engine"]["text_encoder"]) / "tokenizer" / "spiece.model").read_bytes() == b"words"
    assert not (tmp_path / "PixArt-XL-2-1024-MS" / "transformer").exists()
    recorded = json.loads((tmp_path / RECORD).read_text())["files"][f"Lightricks/LTX-Video/{CHECKPOINT}"]
    model = hub.repos["Lightricks/LTX-Video"]
    assert (recorded["revision"], recorded["sha256"]) == (model.commit, model.sha256(CHECKPOINT))


def test_a_second_call_verifies_and_fetches_nothing(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert get(tmp_path, "--yes") == 0
    hub.asked.clear()
    assert get(tmp_path) == 0
    assert transfers(hub) == []
    assert "0 fetched, 4 there and verified" in capsys.readouterr().out


def test_a_transfer_that_was_cut_goes_on(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)
    hub.cut_after = 100_000
    assert get(tmp_path, "--yes") == 5
    assert not checkpoint(tmp_path).exists()
    hub.cut_after = None
    hub.asked.clear()
    assert get(tmp_path, "--yes") == 0
    (first, span), *_ = transfers(hub)
    assert first == CHECKPOINT
    assert int(span.removeprefix("bytes=").partition("-")[0]) >= 100_000
    assert checkpoint(tmp_path).read_bytes() == WEIGHTS


def test_other_bytes_than_the_hub_names_are_removed(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.damaged = {CHECKPOINT}
    assert get(tmp_path, "--yes") == 5
    assert "not what the hub names" in capsys.readouterr().err
    assert not checkpoint(tmp_path).exists()
    hub.damaged = set()
    assert get(tmp_path, "--yes") == 0


@pytest.mark.usefixtures("hub")
def test_a_damaged_file_is_fetched_again(tmp_path: Path) -> None:
    assert get(tmp_path, "--yes") == 0
    checkpoint(tmp_path).write_bytes(b"x" * len(WEIGHTS))
    assert get(tmp_path) == 2
    assert get(tmp_path, "--yes") == 0
    assert checkpoint(tmp_path).read_bytes() == WEIGHTS


@pytest.mark.usefixtures("hub")
def test_a_file_that_is_not_ours_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint(tmp_path).parent.mkdir()
    checkpoint(tmp_path).write_bytes(b"mine")
    assert get(tmp_path, "--yes") == 2
    assert "move it" in capsys.readouterr().err
    assert checkpoint(tmp_path).read_bytes() == b"mine"
    checkpoint(tmp_path).write_bytes(WEIGHTS)
    assert get(tmp_path, "--yes") == 0


def test_what_was_fetched_once_keeps_its_revision(hub: Hub, tmp_path: Path) -> None:
    assert get(tmp_path, "--yes") == 0
    hub.asked.clear()
    get(tmp_path)
    assert any(
        path.startswith(f"/api/models/Lightricks/LTX-Video/revision/{'a' * 40}") for _, path, _ in hub.asked
    )


def test_a_gate_is_named_before_anything_is_asked(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.repos["Lightricks/LTX-Video"].gated = "auto"
    assert get(tmp_path, "--yes") == 5
    said = capsys.readouterr().err
    assert "accept its terms at https://huggingface.co/Lightricks/LTX-Video" in said
    assert "HF_TOKEN" in said


def test_a_file_that_has_moved_is_named(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.repos["Lightricks/LTX-Video"].files[CHECKPOINT]
    assert get(tmp_path, "--yes") == 2
    assert CHECKPOINT in capsys.readouterr().err


def test_a_repository_that_is_gone(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.repos["Lightricks/LTX-Video"]
    assert get(tmp_path, "--yes") == 2
    assert "hf auth login" in capsys.readouterr().err


def test_no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert get(tmp_path, "--yes") == 5
    assert "cannot be reached" in capsys.readouterr().err


def test_without_room(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    assert get(tmp_path, "--yes") == 5
    assert transfers(hub) == []


@pytest.mark.usefixtures("hub")
def test_a_damaged_record_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / RECORD).write_text("{")
    assert get(tmp_path, "--yes") == 2
    assert RECORD in capsys.readouterr().err


def test_an_unknown_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "get", "ltxv-2b", "--to", str(tmp_path)]) == 2
    assert "recipe" in capsys.readouterr().err


def test_a_projection_is_fetched_beside_its_text_encoder(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the IC-LoRA of the second pass has its weights by pass."""
    recipe = require_recipe("ltx-2.5-dfr")
    for _, file in recipe.downloads:
        name = file.repo
        repo = hub.repos.setdefault(name, Repo({}, "c" * 40))
        paths = [file.file] if file.file else [f"{folder}/config.json" for folder in file.folders]
        repo.files |= dict.fromkeys(filter(None, paths), b"{}")
    assert run(["models", "get", "ltx-2.5-dfr", "--to", str(tmp_path), "--yes", "-o", "json"]) == 0
    engine = json.loads(capsys.readouterr().out)["engine"]
    folder, projection = engine["text_encoder"]
    assert (Path(folder) / "tokenizer" / "config.json").is_file()
    assert Path(projection).name == "gemma4-12b-with-proj-ltx-2.5-bf16.safetensors"
    assert Path(projection).is_file()
    assert Path(engine["temporal_upscale_model"]).is_file()
    assert engine["loras"][0]["strength"] == {"upscale": 0.5, "rounds": 0.0}
