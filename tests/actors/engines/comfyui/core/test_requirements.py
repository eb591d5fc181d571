"""What is asked of a core, and how it is said that a core cannot do it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.engines.comfyui.core.nodes import Core
from actors.engines.comfyui.core.probe import CoreReport
from actors.engines.comfyui.core.requirements import (
    FEATURES,
    MODEL_FOLDERS,
    Api,
    feature_of,
    in_words,
    missing_api,
)


@pytest.mark.parametrize("api", [api.name for feature in FEATURES.values() for api in feature.apis])
def test_a_missing_api_names_itself_the_version_and_the_way_out(api: str) -> None:
    feature = feature_of(api)
    assert feature is not None
    said = str(missing_api(api, "0.1.2"))
    assert said.startswith(f"ComfyUI 0.1.2 has no {api}; versions {feature.since} and later have it: ")
    assert feature.without in said


def test_an_api_nobody_listed_still_has_a_way_out() -> None:
    assert (
        str(missing_api("Unheard", "0.1.2"))
        == "ComfyUI 0.1.2 has no Unheard: update ComfyUI to 0.25 or later."
    )


def test_a_report_says_each_feature_once() -> None:
    missing = dict.fromkeys(FEATURES, ()) | {"upscale": ("it has no LTXVLatentUpsampler",)}
    report = CoreReport("0.3.64", missing)
    assert report.usable
    assert len(report.lines()) == len(FEATURES)
    assert "upscale: it has no LTXVLatentUpsampler; versions from 0.8.0 on" in "\n".join(report.lines())
    assert not CoreReport("0.1", {**missing, "sampling": ("it has no CFGGuider",)}).usable


class OldStyle:
    FUNCTION = "run"

    def run(self, samples: Any, vae: Any) -> tuple[Any, ...]:
        return (samples, vae)


class NewStyle:
    @classmethod
    def define_schema(cls) -> Any:
        return SimpleNamespace(node_id="New")

    @classmethod
    def execute(cls, samples: Any, upscale_model: Any, operations: Any) -> Any:
        return SimpleNamespace(args=(samples, upscale_model, operations))


@pytest.mark.parametrize(
    ("node", "inputs", "fault"),
    [
        (OldStyle, ("samples", "vae"), ""),
        (OldStyle, ("samples", "vae", "model"), "N is called otherwise there (got an unexpected keyword"),
        (NewStyle, ("samples", "upscale_model", "operations"), ""),
        (NewStyle, ("samples", "upscale_model"), "N is called otherwise there (missing a required argument"),
        (None, (), "it has no N"),
    ],
)
def test_a_node_counts_only_with_the_inputs_that_it_is_given(
    node: Any, inputs: tuple[str, ...], fault: str
) -> None:
    core = Core("0.50.0", {"N": node})
    found = core._fault(Api("N", inputs))
    assert found.startswith(fault)
    assert bool(found) == bool(fault)


def test_a_function_counts_only_with_as_many_values_as_it_is_given() -> None:
    core = Core("0.50.0")
    assert core._fault(Api("json.dumps", ("indent",), positional=1)) == ""
    assert "too many positional" in core._fault(Api("json.dumps", positional=2))
    assert core._fault(Api("json.no_such_function")) == "it has no json.no_such_function"


def test_a_version_between_two_good_ones_may_be_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_fault", lambda _self, _api: "")
    assert Core("0.28.0").lacks("ltx-2") == Core("0.30.0").lacks("ltx-2") == ()
    (fault,) = Core("0.29.0").lacks("ltx-2")
    assert "all but 0.29.0 work" in in_words("ltx-2", [fault])


def test_the_page_has_every_folder_and_every_version() -> None:
    page = (Path(__file__).parents[5] / "docs" / "comfyui.md").read_text()
    for field, folders in MODEL_FOLDERS.items():
        assert f"| `{field}` | {', '.join(f'`{folder}`' for folder in folders)} |" in page
    for name, feature in FEATURES.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` | ") and "0." in line]
        assert row.endswith(f"| {feature.since} |")
