"""Sigmas from a number of steps, beside Lightricks' scheduler with the settings of its shifted files."""

from __future__ import annotations

import pytest
from fidelity import MODULES, Measured, difference

pytestmark = pytest.mark.reference


def _wanted(config: dict[str, object], steps: int, tokens: int) -> object:
    pytest.importorskip("ltx_video", reason="needs the environment of `make test-reference`")
    import torch
    from ltx_video.schedulers.rf import RectifiedFlowScheduler

    scheduler = RectifiedFlowScheduler.from_config(dict(config))
    scheduler.set_timesteps(steps, samples_shape=torch.Size((1, 128, 1, 1, tokens)))
    return scheduler.timesteps


@pytest.mark.parametrize("tokens", [48, 1024, 4992, 13_376])
@pytest.mark.parametrize("steps", [6, 20, 40])
def test_the_shifted_schedule(steps: int, tokens: int, measured: Measured) -> None:
    from published import SHIFTED

    from actors.engines.schedule import ltx_sigmas

    wanted = _wanted(SHIFTED, steps, tokens)
    found = difference(ltx_sigmas(steps, tokens, 2.05, 0.95)[:-1], wanted)
    measured.note("schedule", f"{steps} steps", f"{tokens} tokens", found)
    assert found <= 2 * MODULES


def test_files_from_0_9_5_on_name_another_schedule(measured: Measured) -> None:
    """Linear, then quadratic. `steps` means ComfyUI's LTXVScheduler for every file; `sigmas` are literal."""
    from published import LINEAR_QUADRATIC

    from actors.engines.schedule import ltx_sigmas

    wanted = _wanted(LINEAR_QUADRATIC, 30, 4992)
    found = difference(ltx_sigmas(30, 4992, 2.05, 0.95)[:-1], wanted)
    label = "`steps: 30` of 4992 tokens by LTXVScheduler, linear-quadratic in Lightricks' files from 0.9.5 on"
    measured.note("choices", label, "difference", found)
    assert found > 0.05
