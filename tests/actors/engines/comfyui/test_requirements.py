"""What is asked of a core, and how its absence is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.engines.comfyui.probe import CoreReport
from actors.engines.comfyui.requirements import FEATURES, MODEL_FOLDERS, feature_of, missing_api


@pytest.mark.parametrize(
    "api", [api for feature in FEATURES.values() for api in (*feature.nodes, *feature.functions)]
)
def test_a_missing_api_names_itself_the_version_and_the_way_out(api: str) -> None:
    feature = feature_of(api)
    assert feature is not None
    told = str(missing_api(api, "0.1.2"))
    assert told.startswith(f"ComfyUI 0.1.2 has no {api}; versions {feature.since} and later have it: ")
    assert feature.without in told


def test_an_api_nobody_listed_still_has_a_way_out() -> None:
    assert (
        str(missing_api("Unheard", "0.1.2"))
        == "ComfyUI 0.1.2 has no Unheard: update ComfyUI to 0.25 or later."
    )


def test_a_report_says_each_feature_once() -> None:
    missing = dict.fromkeys(FEATURES, ()) | {"upscale": ("LTXVLatentUpsampler",)}
    report = CoreReport("0.3.64", missing)
    assert report.usable
    assert len(report.lines()) == len(FEATURES)
    assert "upscale: lacks LTXVLatentUpsampler; ComfyUI 0.8.0 and later have it" in "\n".join(report.lines())
    assert not CoreReport("0.1", {**missing, "sampling": ("CFGGuider",)}).usable


def test_the_page_has_every_folder_and_every_version() -> None:
    page = (Path(__file__).parents[4] / "docs" / "comfyui.md").read_text()
    for field, folders in MODEL_FOLDERS.items():
        assert f"| `{field}` | {', '.join(f'`{folder}`' for folder in folders)} |" in page
    for name, feature in FEATURES.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}` | ") and "0." in line]
        assert row.endswith(f"| {feature.since} |")
