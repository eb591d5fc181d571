"""Sigmas equal those of ComfyUI's LTXVScheduler."""

from __future__ import annotations

from itertools import pairwise

import pytest

from actors.engines.schedule import explicit, ltx_sigmas, truncated

GOLDEN = {
    (5, 13 * 16 * 24): [1, 0.924497366, 0.806035936, 0.593375921, 0.100000024, 0],
    (8, 8): [1, 0.916711211, 0.823034585, 0.716897726, 0.595636904, 0.455771983, 0.29266566, 0.100000024, 0],
}
"""Printed by ComfyUI 0.25's node for (steps, latent tokens) with its default shifts, in single precision."""


@pytest.mark.parametrize("key", GOLDEN)
def test_equal_to_comfyui(key: tuple[int, int]) -> None:
    steps, tokens = key
    assert ltx_sigmas(steps, tokens, 2.05, 0.95).tolist() == pytest.approx(GOLDEN[key], abs=3e-7)


@pytest.mark.parametrize("tokens", [50_688, 56_848, 67_320, 1_000_000])
@pytest.mark.parametrize("steps", [2, 8, 20, 40])
def test_large_clips_have_a_schedule_too(tokens: int, steps: int) -> None:
    """2432 x 1408 with 129 frames has 56,848 tokens, 1920 x 1088 with 257 frames 67,320. There the shift is
    so large that the odds 1/sigma - 1 of the unshifted schedule are all that counts."""
    sigmas = ltx_sigmas(steps, tokens, 2.05, 0.95)
    odds = [steps / (steps - step) - 1 for step in range(steps)]
    limit = [1 - 0.9 * one / odds[-1] for one in odds]
    assert sigmas.tolist() == pytest.approx([*limit, 0.0], abs=2e-4)
    assert all(a > b for a, b in pairwise(sigmas.tolist()))


def test_a_single_step_goes_all_the_way() -> None:
    assert ltx_sigmas(1, 4096, 2.05, 0.95).tolist() == pytest.approx([1.0, 0.0])


def test_denoise_keeps_the_number_of_steps_and_starts_later() -> None:
    half = truncated(10, 0.5, 4096, (2.05, 0.95))
    assert len(half) == 11
    assert half.tolist() == ltx_sigmas(20, 4096, 2.05, 0.95)[-11:].tolist()
    assert float(truncated(10, 1.0, 4096, (2.05, 0.95))[0]) == pytest.approx(1.0)


def test_explicit_sigmas_are_literal() -> None:
    assert explicit((1.0, 0.5, 0.0)).tolist() == [1.0, 0.5, 0.0]
