"""Guiders."""

from __future__ import annotations

import pytest
import torch

from actors.engines.diffusers.guidance import CfgGuider, Pass, StgGuider, make_guidance
from jobs.errors import InvalidInput

ANSWERS = {
    Pass.POSITIVE: torch.tensor([1.0, 3.0]),
    Pass.NEGATIVE: torch.tensor([0.0, 1.0]),
    Pass.PERTURBED: torch.tensor([1.0, 2.0]),
}


def predict(*passes: Pass) -> list[torch.Tensor]:
    return [ANSWERS[which] for which in passes]


def test_cfg() -> None:
    assert CfgGuider(3.0)(predict).tolist() == [3.0, 7.0]


def test_a_scale_of_one_asks_for_one_pass() -> None:
    asked: list[Pass] = []

    def noted(*passes: Pass) -> list[torch.Tensor]:
        asked.extend(passes)
        return predict(*passes)

    CfgGuider(1.0)(noted)
    assert asked == [Pass.POSITIVE]


def test_stg_adds_to_cfg() -> None:
    assert StgGuider(3.0, stg=2.0, rescale=0.0)(predict).tolist() == [3.0, 9.0]


def test_stg_rescale_restores_the_spread() -> None:
    guided = StgGuider(3.0, stg=2.0, rescale=1.0)(predict)
    assert float(guided.std()) == pytest.approx(float(ANSWERS[Pass.POSITIVE].std()))


def test_parameters_by_name() -> None:
    guidance = make_guidance("stg", 2.0, {"blocks": (0, 3), "stg_scale": 0.5}, layers=4)
    assert guidance.skipped_blocks == {0, 3}
    assert guidance.guider == StgGuider(2.0, 0.5, 0.7)
    assert make_guidance("stg", 2.0, {}, layers=8).skipped_blocks == {4}


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("apg", {}),
        ("cfg", {"scale": 1.0}),
        ("stg", {"blocks": (9,)}),
        ("stg", {"blocks": "all"}),
        ("stg", {"rescale": "x"}),
    ],
)
def test_what_does_not_exist_is_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        make_guidance(name, 3.0, params, layers=4)
