"""Guiders."""

from __future__ import annotations

import pytest
import torch

from actors.engines.diffusers.guidance import CfgGuider, Pass, StgGuider, StgStep, make_guidance
from jobs.errors import InvalidInput

ANSWERS = {
    Pass.POSITIVE: torch.tensor([1.0, 3.0]),
    Pass.NEGATIVE: torch.tensor([0.0, 1.0]),
    Pass.PERTURBED: torch.tensor([1.0, 2.0]),
}


X, SIGMA = torch.tensor([2.0, 5.0]), torch.tensor(0.5)


def stg(cfg: float, scale: float, rescale: float, **more: object) -> StgGuider:
    return StgGuider((StgStep(cfg, scale, rescale, frozenset({1})),), **more)  # type: ignore[arg-type]


def predict(*passes: Pass) -> list[torch.Tensor]:
    return [ANSWERS[which] for which in passes]


def test_cfg() -> None:
    assert CfgGuider(3.0)(predict, X, SIGMA).tolist() == [3.0, 7.0]


def test_a_scale_of_one_asks_for_one_pass() -> None:
    asked: list[Pass] = []

    def noted(*passes: Pass) -> list[torch.Tensor]:
        asked.extend(passes)
        return predict(*passes)

    CfgGuider(1.0)(noted, X, SIGMA)
    assert asked == [Pass.POSITIVE]


def test_stg_adds_to_cfg() -> None:
    assert stg(3.0, 2.0, 0.0)(predict, X, SIGMA).tolist() == [3.0, 9.0]


def test_stg_rescale_restores_the_spread() -> None:
    guided = stg(3.0, 2.0, 1.0)(predict, X, SIGMA)
    assert float(guided.std()) == pytest.approx(float(ANSWERS[Pass.POSITIVE].std()))


def test_parameters_by_name() -> None:
    guidance = make_guidance("stg", 2.0, {"blocks": (0, 3), "stg_scale": 0.5}, layers=4)
    assert guidance.skipped_at(SIGMA) == {0, 3}
    assert guidance.guider == StgGuider((StgStep(2.0, 0.5, 0.7, frozenset({0, 3})),))
    assert make_guidance("stg", 2.0, {}, layers=8).skipped_at(SIGMA) == {4}


def test_lists_count_from_level_to_level() -> None:
    params = {"levels": (1.0, 0.9, 0.6), "cfg": (1.0, 6.0, 2.0), "stg_scale": 0.0, "rescale": 0.0}
    guidance = make_guidance("stg", 9.0, {**params, "blocks": ((), (1, 2), (3,))}, layers=4)
    at = {sigma: guidance.skipped_at(torch.tensor(sigma)) for sigma in (1.0, 0.95, 0.9, 0.61, 0.6, 0.1)}
    assert at == {1.0: set(), 0.95: {1, 2}, 0.9: {1, 2}, 0.61: {3}, 0.6: {3}, 0.1: {3}}
    scales = [guidance.guider.at(torch.tensor(sigma)).cfg for sigma in (1.0, 0.95, 0.3)]  # type: ignore[union-attr]
    assert scales == [1.0, 6.0, 2.0]


def test_guidance_of_the_velocity_is_lightricks_own() -> None:
    """Their formulas, written out: the negative projected, STG and the spread in velocities."""
    guided = stg(3.0, 2.0, 0.7, velocity=True, star=True)(predict, X, SIGMA)
    positive, negative, perturbed = ((X - ANSWERS[which]) / SIGMA for which in Pass)
    negative = negative * (positive @ negative) / (negative @ negative)
    velocity = negative + 3.0 * (positive - negative) + 2.0 * (positive - perturbed)
    velocity = velocity * (0.7 * positive.std() / velocity.std() + 0.3)
    torch.testing.assert_close(guided, X - SIGMA * velocity)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("apg", {}),
        ("cfg", {"scale": 1.0}),
        ("stg", {"blocks": (9,)}),
        ("stg", {"blocks": "all"}),
        ("stg", {"rescale": "x"}),
        ("stg", {"levels": (1.0, 0.5), "cfg": (1.0, 2.0, 3.0)}),
    ],
)
def test_what_does_not_exist_is_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        make_guidance(name, 3.0, params, layers=4)
