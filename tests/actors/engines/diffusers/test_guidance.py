"""Guiders."""

from __future__ import annotations

import pytest
import torch

from actors.engines.diffusers.guidance import Forward, Guidance, GuiderStep, Sides, make_guidance
from jobs.errors import InvalidInput
from jobs.planning.sampling import PlannedGuider, Sampling

ANSWERS = {
    Forward.POSITIVE: torch.tensor([1.0, 3.0]),
    Forward.NEGATIVE: torch.tensor([0.0, 1.0]),
    Forward.PERTURBED: torch.tensor([1.0, 2.0]),
    Forward.APART: torch.tensor([0.5, 3.0]),
}


X, SIGMA = torch.tensor([2.0, 5.0]), torch.tensor(0.5)


def stg(cfg: float, scale: float, rescale: float, **more: object) -> Guidance:
    step = GuiderStep((cfg,), scale, rescale=rescale, blocks=frozenset({1}))
    return Guidance((step,), **more)  # type: ignore[arg-type]


def predict(*which: Forward) -> list[Sides]:
    return [(ANSWERS[one],) for one in which]


def guided(guidance: Guidance) -> torch.Tensor:
    return guidance(predict, (X,), SIGMA)[0]


def test_cfg() -> None:
    assert guided(Guidance.plain(3.0)).tolist() == [3.0, 7.0]


def test_a_scale_of_one_asks_for_one_forward() -> None:
    asked: list[Forward] = []

    def noted(*which: Forward) -> list[Sides]:
        asked.extend(which)
        return predict(*which)

    Guidance.plain(1.0)(noted, (X,), SIGMA)
    assert asked == [Forward.POSITIVE]


def test_each_side_has_its_own_scale() -> None:
    """Of four forwards, of which the last has picture and sound apart from each other."""
    step = GuiderStep((3.0, 1.0), stg=2.0, modality=4.0)
    picture, sound = Guidance((step,))(lambda *which: [s * 2 for s in predict(*which)], (X, X), SIGMA)
    apart = 3.0 * (ANSWERS[Forward.POSITIVE] - ANSWERS[Forward.APART])
    assert torch.equal(picture, torch.tensor([3.0, 9.0]) + apart)
    assert torch.equal(sound, torch.tensor([1.0, 5.0]) + apart)


def test_stg_adds_to_cfg() -> None:
    assert guided(stg(3.0, 2.0, 0.0)).tolist() == [3.0, 9.0]


def test_stg_rescale_restores_the_spread() -> None:
    found = guided(stg(3.0, 2.0, 1.0))
    assert float(found.std()) == pytest.approx(float(ANSWERS[Forward.POSITIVE].std()))


def made(name: str, cfg: float, params: dict[str, object], layers: int, sound: bool = False) -> Guidance:
    guider = PlannedGuider(name, tuple(sorted(params.items())))  # type: ignore[arg-type]
    return make_guidance(Sampling(3, cfg, "euler", None, guider, 2.05, 0.95), layers, sound)


def test_parameters_by_name() -> None:
    step = GuiderStep((2.0,), 0.5, rescale=0.7, blocks=frozenset({0, 3}))
    assert made("stg", 2.0, {"blocks": (0, 3), "stg_scale": 0.5}, layers=4) == Guidance((step,))
    assert made("stg", 2.0, {}, layers=8).at(SIGMA).blocks == {4}


def test_parameters_of_a_model_with_sound() -> None:
    step = GuiderStep((3.0, 7.0), 1.0, 2.0, 0.7, frozenset({1}))
    params: dict[str, object] = {"audio_cfg": 7.0, "modality": 2.0, "blocks": 1}
    assert made("stg", 3.0, params, layers=4, sound=True) == Guidance((step,))
    assert made("cfg", 3.0, {}, layers=4, sound=True) == Guidance.plain(3.0, 3.0)


def test_lists_count_from_level_to_level() -> None:
    params = {"levels": (1.0, 0.9, 0.6), "cfg": (1.0, 6.0, 2.0), "stg_scale": 0.0, "rescale": 0.0}
    guidance = made("stg", 9.0, {**params, "blocks": ((), (1, 2), (3,))}, layers=4)
    at = {sigma: guidance.at(torch.tensor(sigma)).blocks for sigma in (1.0, 0.95, 0.9, 0.61, 0.6, 0.1)}
    assert at == {1.0: set(), 0.95: {1, 2}, 0.9: {1, 2}, 0.61: {3}, 0.6: {3}, 0.1: {3}}
    assert [guidance.at(torch.tensor(sigma)).cfg for sigma in (1.0, 0.95, 0.3)] == [(1.0,), (6.0,), (2.0,)]


def test_guidance_of_the_velocity_is_lightricks_own() -> None:
    """Their formulas, written out: the negative projected, STG and the spread in velocities."""
    found = guided(stg(3.0, 2.0, 0.7, velocity=True, star=True))
    positive, negative, perturbed = ((X - ANSWERS[which]) / SIGMA for which in list(Forward)[:3])
    negative = negative * (positive @ negative) / (negative @ negative)
    velocity = negative + 3.0 * (positive - negative) + 2.0 * (positive - perturbed)
    velocity = velocity * (0.7 * positive.std() / velocity.std() + 0.3)
    torch.testing.assert_close(found, X - SIGMA * velocity)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("apg", {}),
        ("cfg", {"scale": 1.0}),
        ("stg", {"blocks": (9,)}),
        ("stg", {"blocks": "all"}),
        ("stg", {"rescale": "x"}),
        ("stg", {"levels": (1.0, 0.5), "cfg": (1.0, 2.0, 3.0)}),
        ("stg", {"modality": 2.0}),
    ],
)
def test_what_does_not_exist_is_refused(name: str, params: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        made(name, 3.0, params, layers=4)
