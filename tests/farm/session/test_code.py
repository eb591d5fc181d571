"""A spec is data: what runs as code is named on the command line or in the environment."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm.cli.main import run
from farm.options import RenderOptions
from jobs.errors import SpecError
from jobs.loading.load import load_spec
from jobs.planning.plan import PLAN_FORM, PlanFile, make_plan
from jobs.spec.engine import Code, EngineConfig

CHUNKS = [{"generate": {"prompt": "p", "num_frames": 9}}]
CODE = Code("/opt/ComfyUI", allow_pickle=True)


def film(**engine: Any) -> dict[str, Any]:
    return {"name": "x", "engine": engine, "videos": [{"name": "a", "chunks": CHUNKS}]}


@pytest.mark.parametrize("verb", [("doctor",), ("render", "--serial"), ("check",), ("plan",)])
def test_a_comfyui_beside_the_spec_is_never_imported(
    verb: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COMFYUI_PATH", raising=False)
    trap = f"open({str(tmp_path / 'canary')!r}, 'w').close()\n"
    for name in ("main.py", "nodes.py", "comfy/__init__.py", "comfy/model_management.py"):
        path = tmp_path / "ComfyUI" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(trap)
    Path("film.yaml").write_text(
        yaml.safe_dump(film(name="comfyui", checkpoint="ltxv.safetensors", comfyui="ComfyUI"))
    )
    code = run([verb[0], "film.yaml", *verb[1:]])
    assert not Path("canary").exists()
    assert code == 2
    said = capsys.readouterr().err
    assert "engine.comfyui" in said
    assert "give --comfyui ComfyUI or set COMFYUI_PATH=ComfyUI" in said


def test_what_the_caller_allows_reaches_workers_and_no_document() -> None:
    loaded = load_spec(film(name="comfyui", checkpoint="ltxv.safetensors"), code=CODE)
    plan = make_plan(loaded.spec, loaded.facts)
    for engine in (loaded.spec.engine, plan.engine, pickle.loads(pickle.dumps(plan.engine))):
        assert (engine.comfyui, engine.allow_pickle) == (CODE.comfyui, CODE.allow_pickle)
    stored = PLAN_FORM.encode(PlanFile(plan)).decode()
    assert "ComfyUI" not in stored + loaded.text
    assert "pickle" not in stored + loaded.text
    assert PLAN_FORM.parse(stored).plan.engine.allow_pickle is False


def test_without_a_word_the_environment_of_each_machine_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = pickle.loads(pickle.dumps(EngineConfig(name="comfyui")))
    monkeypatch.setenv("COMFYUI_PATH", "/srv/ComfyUI")
    assert engine.comfyui == "/srv/ComfyUI"
    assert engine.with_code(CODE).comfyui == CODE.comfyui


def test_a_relative_folder_is_that_of_the_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert RenderOptions(comfyui="ComfyUI").code == Code(str(tmp_path / "ComfyUI"))


@pytest.mark.parametrize("part", ["text_encoder", "."])
def test_a_folder_of_pickles_is_refused(part: str, tmp_path: Path) -> None:
    weights = tmp_path / "t5" / part / "pytorch_model.bin"
    weights.parent.mkdir(parents=True)
    weights.touch()
    spec = film(name="diffusers", checkpoint="owner/model", text_encoder=str(tmp_path / "t5"))
    for code in (Code(), Code(allow_pickle=True)):
        with pytest.raises(SpecError) as refused:
            load_spec(spec, code=code)
        (problem,) = refused.value.problems
        assert problem.place == "engine.text_encoder"
        assert ".safetensors" in problem.remedy
