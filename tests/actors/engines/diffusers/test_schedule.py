"""Sigmas equal those of ComfyUI's LTXVScheduler."""

from __future__ import annotations

import pytest

from actors.engines.diffusers.schedule import explicit, ltx_sigmas, truncated

GOLDEN = {
    (5, 13 * 16 * 24): [1, 0.924497366, 0.806035936, 0.593375921, 0.100000024, 0],
    (8, 8): [1, 0.916711211, 0.823034585, 0.716897726, 0.595636904, 0.455771983, 0.29266566, 0.100000024, 0],
}
"""Printed by ComfyUI 0.25's node for (steps, latent tokens) with its default shifts."""


@pytest.mark.parametrize("key", GOLDEN)
def test_equal_to_comfyui(key: tuple[int, int]) -> None:
    steps, tokens = key
    assert ltx_sigmas(steps, tokens, 2.05, 0.95).tolist() == pytest.approx(GOLDEN[key], abs=1e-8)


def test_a_single_step_goes_all_the_way() -> None:
    assert ltx_sigmas(1, 4096, 2.05, 0.95).tolist() == pytest.approx([1.0, 0.0])


def test_denoise_keeps_the_number_of_steps_and_starts_later() -> None:
    half = truncated(10, 0.5, 4096, (2.05, 0.95))
    assert len(half) == 11
    assert half.tolist() == ltx_sigmas(20, 4096, 2.05, 0.95)[-11:].tolist()
    assert float(truncated(10, 1.0, 4096, (2.05, 0.95))[0]) == pytest.approx(1.0)


def test_explicit_sigmas_are_literal() -> None:
    assert explicit((1.0, 0.5, 0.0)).tolist() == [1.0, 0.5, 0.0]
